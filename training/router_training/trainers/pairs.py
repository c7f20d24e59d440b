"""Pairs of replies to the same state, of which one did better."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from router_training.data.samples import Left
from router_training.errors import DataError
from router_training.trainers.rows import Judged


@dataclass(frozen=True, slots=True)
class Pair:
    """Two replies, in recorded tokens."""

    prompt_ids: list[int]
    """Of the better one, where equal states were put in other words."""
    chosen_ids: list[int]
    rejected_ids: list[int]
    margin: float
    """The difference in reward."""


def pairs(judged: Sequence[Judged], *, margin: float = 0.1, most: int = 4, left: Left | None = None) -> list[Pair]:
    """Of each state, up to `most` pairs whose rewards differ by `margin` or more, the widest apart first.

    Equal replies make one pair. States that give none are counted in `left`. Raises `DataError` where there is no pair
    at all.
    """
    left = left or Left()
    states: defaultdict[Hashable, list[Judged]] = defaultdict(list)
    for one in judged:
        if one.reward == one.reward:
            states[one.state].append(one)
    found: list[Pair] = []
    for group in states.values():
        of_state = _of_state(group, margin, most)
        found += of_state
        if not of_state:
            left.counts["states without two replies that are far enough apart"] += 1
    if not found:
        raise DataError(
            f"In none of {len(states):,} states do the rewards of two replies differ by {margin:g}; record the same "
            "questions several times, or lower `margin`."
        )
    return found


def _of_state(group: Sequence[Judged], margin: float, most: int) -> list[Pair]:
    ordered = sorted(group, key=lambda one: -one.reward)
    wide = sorted(
        (
            (better, worse)
            for better in ordered
            for worse in ordered
            if better.reward - worse.reward >= (margin or 1e-12)
        ),
        key=lambda pair: pair[1].reward - pair[0].reward,
    )
    made: dict[tuple[tuple[int, ...], tuple[int, ...]], Pair] = {}
    for better, worse in wide:
        key = tuple(better.sample.completion_ids), tuple(worse.sample.completion_ids)
        if key[0] == key[1] or key in made:
            continue
        made[key] = Pair(
            better.sample.prompt_ids,
            better.sample.completion_ids,
            worse.sample.completion_ids,
            better.reward - worse.reward,
        )
        if len(made) == most:
            break
    return list(made.values())
