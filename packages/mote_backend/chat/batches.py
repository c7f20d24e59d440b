"""Which requests share a forward pass."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from typing import TypeVar

_One = TypeVar("_One")
_LONGEST_WAIT = 8
"""Windows that the first request waits at most, however many follow it closely."""


def collect(waiting: queue.SimpleQueue[_One | None], most: int, window_s: float) -> tuple[list[_One], bool]:
    """Wait for a request, then take those that follow it closely. The flag is True once None has ended the queue."""
    first = waiting.get()
    if first is None:
        return [], True
    taken = [first]
    latest = time.monotonic() + _LONGEST_WAIT * window_s
    while len(taken) < most:
        left = min(window_s, latest - time.monotonic())
        try:
            one = waiting.get(timeout=left) if left > 0 else waiting.get_nowait()
        except queue.Empty:
            break
        if one is None:
            return taken, True
        taken.append(one)
    return taken, False


def pack(lengths: Sequence[int], most: int, most_columns: int) -> list[list[int]]:
    """Prompts of these lengths, by position, in batches of at most `most` rows and `most_columns` tokens with padding.

    Those of like length go together. The batch that holds the first prompt comes first, and so on; a prompt that is
    longer than `most_columns` goes alone.
    """
    batches: list[list[int]] = []
    for at in sorted(range(len(lengths)), key=lengths.__getitem__):
        here = batches[-1] if batches else None
        if here is not None and len(here) < most and (len(here) + 1) * lengths[at] <= most_columns:
            here.append(at)
        else:
            batches.append([at])
    return sorted((sorted(batch) for batch in batches), key=min)
