"""What has been written since a shard was read last, and the places of its lines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from router_graph.trajectories.assembly import assemble
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.log_index import checked
from router_graph.trajectories.records import Line, RunRecord
from router_graph.trajectories.shards import LogError, body_of, decode
from router_graph.trajectories.upgrade import upgraded

_LONGEST = 1 << 28


@dataclass(slots=True)
class Taken:
    """Lines that were read at once."""

    lines: dict[str, list[tuple[int, Line]]] = field(default_factory=dict)
    """By run: the byte where each begins, and the line."""
    end: int = 0
    """Where the next one will begin."""
    damaged: int = 0


def lines_since(path: Path, start: int, most: int) -> Taken:
    """The whole lines from a byte on, until `most` bytes are read. A last line without its end is still being written.

    Raises `OSError`.
    """
    taken = Taken(end=start)
    with path.open("rb") as file:
        file.seek(start)
        while taken.end - start < most and (raw := file.readline(_LONGEST)):
            if not raw.endswith(b"\n") and len(raw) < _LONGEST:
                break
            run, why = checked(raw)
            if why is not None:
                taken.damaged += 1
            elif run is not None:
                taken.lines.setdefault(run, []).append((taken.end, upgraded(decode(raw))))
            taken.end += len(raw)
    return taken


def lines_at(path: Path, places: Sequence[int]) -> Iterator[Line]:
    """The lines that begin there. Raises `LogError` where the shard was changed since."""
    try:
        with path.open("rb") as file:
            for place in places:
                file.seek(place)
                raw = file.readline(_LONGEST)
                if body_of(raw) is None:
                    raise LogError(f"{path} was changed after it was read; load the page again.")
                yield upgraded(decode(raw))
    except OSError as error:
        raise LogError(f"{path} cannot be read ({os.strerror(error.errno or 0)}).") from None


def put_together(run: str, places: Mapping[Path, Sequence[int]], known: Sequence[Line] = ()) -> RunRecord:
    """The run of these lines, and of those that are at hand. Raises `LogError` where they make none."""
    lines = [*known, *(line for path, starts in places.items() for line in lines_at(path, starts))]
    lines.sort(key=lambda line: line["at"])
    try:
        return assemble(run, lines, LogReport())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LogError(f"The run {run} cannot be put together ({type(error).__name__}: {error}).") from None
