"""Which samples are compared with each other. A group is a key; samples of one key are alternatives.

| key | compares | is it exact? |
|---|---|---|
| `by_question` | whole runs of one question | yes |
| `by_state` | steps from equal states, wherever they occurred | yes, as far as the state is |
| `by_sample` | steps that were sampled from one recorded state | yes |
| `by_place` | steps of one number of runs of one question | no: their states differ, but for the first |

And `counterfactual` executes what nobody tried.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

import numpy as np

from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_training.credit.advantages import Integers
from router_training.credit.states import By, state_key


def group_ids(keys: Iterable[Hashable]) -> Integers:
    """A number for each key, equal for equal keys, counted from 0 as they come."""
    known: dict[Hashable, int] = {}
    return np.fromiter((known.setdefault(key, len(known)) for key in keys), dtype=np.int64)


def by_question(run: RunRecord) -> Hashable:
    """For runs: the question, at the prices of the run's menu."""
    return run.question_id, _prices(run)


def by_state(run: RunRecord, number: int, *, by: By = "history") -> Hashable:
    """For steps: the state before it; see `state_key`. Raises `KeyError` where the run has no such step."""
    return state_key(view_at(run, number), by=by)


def by_place(run: RunRecord, number: int) -> Hashable:
    """For steps: the question at the prices of the run's menu, and the step's number."""
    return run.question_id, _prices(run), number


def by_sample(run: RunRecord, number: int) -> Hashable:
    """For steps of runs that go on from a recorded state: that state, as `metadata["state"]` names it.

    A run without it stands alone.
    """
    return run.metadata.get("state") or run.run_id, number


def steps_of(runs: Iterable[RunRecord]) -> Iterator[tuple[int, RunRecord, int]]:
    """Each step as (place of its run, run, number)."""
    for place, run in enumerate(runs):
        for step in run.steps:
            yield place, run, step.number


def _prices(run: RunRecord) -> tuple[tuple[str, float], ...]:
    """What can be asked costs: runs of a dear world are not compared with those of a cheap one."""
    return tuple(sorted((one["key"], one["usd"]) for one in run.menu))
