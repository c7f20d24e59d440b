"""Scores become advantages: runs and their scores in, one number for each step out."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from router_graph.trajectories.records import RunRecord
from router_training.credit.advantages import (
    TRL,
    Convention,
    Floats,
    Kept,
    group_relative,
    mixed,
    normalised_parts,
    of_episodes,
    spread,
)
from router_training.credit.groups import by_question, by_state, group_ids
from router_training.errors import DataError
from router_training.rewards.reward import WHOLE_RUN
from router_training.rewards.scoring import RewardRecord, by_place

By = Literal["step", "episode", "mixed"]


@dataclass(frozen=True, slots=True)
class Credit:
    """The advantage of each step that has one, in the order of the log."""

    steps: list[tuple[str, int]]
    """(run_id, number)."""
    worth: Floats
    """Of shape (steps,): what was compared. By step its own score, by episode its run's; mixed, run + weight · own."""
    advantages: Floats
    """Of shape (steps,)."""
    mask: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """Of shape (steps,): where something can be learned."""
    kept: Kept
    """How many groups are of use; of runs where credit is by episode, else of steps. Mixed, steps of the others learn
    from their run alone."""


def credit(
    runs: Iterable[RunRecord],
    scores: Iterable[RewardRecord],
    by: By = "step",
    *,
    steps_by: Callable[[RunRecord, int], Hashable] = by_state,
    runs_by: Callable[[RunRecord], Hashable] = by_question,
    convention: Convention = TRL,
    weight: float = 1.0,
    parts: Mapping[str, float] | None = None,
    least_std: float = 0.0,
    among: Container[tuple[str, int]] | None = None,
    must_differ: bool = True,
) -> Credit:
    """Advantages by each step's own score, by its run's, or both: A_episode + `weight` · A_step.

    `scores` hold those of steps, of runs, or both, as `by` asks; by step, a step without one of its own has its run's.
    With `parts`, the parts of the steps' scores are normalised before they are summed, each with its weight, instead of
    the totals; a part that a score lacks does not apply, and `least_std` is of the sum of the normalised. Steps without
    a score are left out, and those that are not `among` the given (run_id, number). Raises `DataError` where a score is
    missing that `by` asks for, comes twice or in two versions, and with `must_differ` where no group has two different
    scores.
    """
    known = by_place(scores)
    steps, owners, step_groups, run_groups = list[tuple[str, int]](), list[int](), list[Hashable](), list[Hashable]()
    run_totals: list[float] = []
    seen = set[str]()
    for run in runs:
        if run.run_id in seen:
            raise DataError(f"The run {run.run_id!r} comes twice; give each log once.")
        seen.add(run.run_id)
        whole = known.get((run.run_id, WHOLE_RUN))
        if by != "step" and whole is None:
            continue
        places = [(run.run_id, one.number) for one in run.steps]
        numbers = [
            place[1]
            for place in places
            if (among is None or place in among) and (place in known or by == "episode" or (by == "step" and whole))
        ]
        if not numbers and by == "step":
            continue
        run_totals.append(np.nan if whole is None else whole.total)
        run_groups.append(runs_by(run))
        for number in numbers:
            steps.append((run.run_id, number))
            owners.append(len(run_totals) - 1)
            step_groups.append(None if by == "episode" else steps_by(run, number))
    if not steps:
        wanted = {"step": "steps", "episode": "whole runs", "mixed": "whole runs and their steps"}[by]
        raise DataError(f"Credit by {by} needs scores of {wanted}, and these runs have none; score the log for them.")
    owner, of_runs, run_ids = np.asarray(owners, dtype=np.int64), np.asarray(run_totals), group_ids(run_groups)
    if by != "step":
        of_episode = of_episodes(of_runs, run_ids, owner, convention)
        runs_kept = spread(of_runs, run_ids, least_std=least_std)
        if by == "episode":
            return _checked(Credit(steps, of_runs[owner], of_episode, runs_kept.mask[owner], runs_kept), must_differ)
    numbered = group_ids(step_groups)
    totals = np.array([known[place if place in known else (place[0], WHOLE_RUN)].total for place in steps])
    if parts is None:
        own, judged = group_relative(totals, numbered, convention), totals
    else:
        table, shares = _table(steps, known, parts), list(parts.values())
        own = normalised_parts(table, numbered, shares, convention)
        judged = normalised_parts(table, numbered, shares, convention, over_batch=False)  # totals may tie, or have more
    kept = spread(judged, numbered, least_std=least_std)
    if by == "step":
        return _checked(Credit(steps, totals, own, kept.mask, kept), must_differ)
    both, worth = mixed(of_episode, own, weight=weight), of_runs[owner] + weight * totals
    return _checked(Credit(steps, worth, both, both != 0.0, kept), must_differ)


def _checked(found: Credit, must_differ: bool) -> Credit:
    if must_differ and not found.mask.any():
        found.kept.check()
    return found


def _table(
    steps: list[tuple[str, int]], known: Mapping[tuple[str, int], RewardRecord], parts: Mapping[str, float]
) -> Floats:
    nothing = RewardRecord("", WHOLE_RUN, np.nan, {}, "")
    rows = [[known.get(place, nothing).parts.get(name, np.nan) for name in parts] for place in steps]
    return np.array(rows, dtype=np.float64)
