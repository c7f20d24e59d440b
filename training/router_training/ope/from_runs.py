"""From recorded runs, their rewards and a target policy to what evaluation reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from router_graph.state import Step
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_graph.view import View
from router_training.errors import DataError
from router_training.ope.action_keys import action_key, spoiled_key
from router_training.ope.bandit import CLOSE, Floats, Logged
from router_training.ope.estimate import CannotTell
from router_training.ope.rules import DEFAULT, Rules
from router_training.ope.used import FOREIGN, NO_PROPENSITY, NO_REWARD, NOT_ENDED, Used, refused

Target = Callable[[View], Mapping[str, float]]
"""The probability of each action, by its key, at a view; those that are left out have 0."""
Features = Callable[[View], Mapping[str, float]]
"""Numbers by name, of what is known before the step; what is left out is 0."""


class Scored(Protocol):
    """What a run or a step earned, such as a `RewardRecord`."""

    @property
    def run_id(self) -> str:
        """The run."""

    @property
    def number(self) -> int:
        """Of the step, from 1; 0 for the whole run, whose reward then comes with its last step."""

    @property
    def total(self) -> float:
        """The reward."""


@dataclass(frozen=True)
class Loaded:
    """A log, and the probabilities of each target at its steps."""

    logged: Logged
    targets: Mapping[str, Floats]
    """By name: [n, A]."""
    used: Used


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a step did, and how likely that was."""

    key: str
    chance: float
    view: View
    is_forced: bool
    is_spoiled: bool = False


def from_runs(
    runs: Iterable[RunRecord],
    rewards: Iterable[Scored],
    targets: Mapping[str, Target],
    *,
    features: Features | None = None,
    kinds: Sequence[str] = (),
    rules: Rules = DEFAULT,
) -> Loaded | CannotTell:
    """The runs that ended and have a reward, as a log; `CannotTell` where too many are not known well enough.

    `kinds` names keys of the runs' metadata to make subgroups by, such as "kind" or "kb". What a step did is named by
    `action_key`; what a target does that the log never did is an action without support. A step at which only one thing
    was possible changes no weight. A run of which the propensity of a step is not known is left out: its policy failed
    there, was not asked for it, or put its action into no option.
    Raises `DataError` where a target gives no distribution, no run has a kind, or nothing is left to evaluate on.
    """
    earned: dict[str, dict[int, float]] = {}
    for one in rewards:
        of_run = earned.setdefault(one.run_id, {})
        of_run[one.number] = of_run.get(one.number, 0.0) + one.total
    used, taken, left_out = list[RunRecord](), list[list[_Taken]](), Counter[str]()
    unknown = unused = 0
    for run in runs:
        if not run.is_ours or not run.steps:
            left_out[FOREIGN] += 1
        elif run.status != "ended":
            left_out[NOT_ENDED] += 1
        elif run.run_id not in earned:
            left_out[NO_REWARD] += 1
        else:
            each = [_taken(one.step, run) for one in run.steps]
            known = [one for one in each if one is not None]
            if len(known) == len(each):
                used.append(run)
                taken.append(known)
            else:
                left_out[NO_PROPENSITY] += 1
                unknown, unused = unknown + len(each) - len(known), unused + len(known)
    if not used and not left_out[NO_PROPENSITY]:
        raise DataError(
            f"No run can be evaluated on: {left_out[NOT_ENDED]} have not ended and {left_out[NO_REWARD]} have no "
            "reward; score the log first."
        )
    for kind in kinds:
        if not any(kind in run.metadata for run in used):
            there = sorted({str(key) for run in used for key in run.metadata})
            raise DataError(
                f"No run has {kind!r} in its metadata to make subgroups by; there is {', '.join(there) or 'none'}."
            )
    steps = [one for each in taken for one in each]
    told = Used(len(used), len(steps), dict(+left_out), unknown, unused, sum(one.is_spoiled for one in steps))
    if (refusal := refused(told, rules)) is not None:
        return refusal
    return _laid_out(used, taken, earned, targets, features or plain_features, kinds, told)


def plain_features(view: View) -> dict[str, float]:
    """How much was found and asked so far, by source, and what is left."""
    found: dict[str, float] = {"documents": float(len(view.evidence)), "steps left": float(view.left["steps"])}
    for hit in view.evidence:
        name = f"documents of {hit['kb']}"
        found[name] = found.get(name, 0.0) + 1.0
    for _, route, observation in view.routes():
        for name in (f"asked {route.target}", f"{route.target} came back {observation['status']}"):
            found[name] = found.get(name, 0.0) + 1.0
    return found


def _laid_out(
    runs: Sequence[RunRecord],
    taken: Sequence[Sequence[_Taken]],
    earned: Mapping[str, Mapping[int, float]],
    targets: Mapping[str, Target],
    features: Features,
    kinds: Sequence[str],
    used: Used,
) -> Loaded:
    reward, cost = list[float](), list[float]()
    for run in runs:
        of_run, last = earned[run.run_id], run.steps[-1].number
        for strange in of_run.keys() - {one.number for one in run.steps} - {0}:
            raise DataError(f"There is a reward for step {strange} of the run {run.run_id!r}, which has {last} steps.")
        for one in run.steps:
            reward.append(of_run.get(one.number, 0.0) + (of_run.get(0, 0.0) if one.number == last else 0.0))
            cost.append(sum(came["usd"] for came in one.step.get("observations", {}).values()))
    steps = [one for each in taken for one in each]
    wanted = {
        name: [{one.key: 1.0} if one.is_forced else _wanted(name, target, one.view) for one in steps]
        for name, target in targets.items()
    }
    keys = {option["key"] for run in runs for option in run.menu} | {one.key for one in steps}
    keys |= {key for rows in wanted.values() for row in rows for key in row}
    actions = tuple(sorted(keys))
    places = {key: n for n, key in enumerate(actions)}
    logged = Logged(
        actions=actions,
        action=np.array([places[one.key] for one in steps], dtype=np.int64),
        propensity=np.array([one.chance for one in steps]),
        reward=np.array(reward, dtype=np.float64),
        episode=np.repeat(np.arange(len(runs)), [len(each) for each in taken]),
        step=np.array([one.number for run in runs for one in run.steps], dtype=np.int64),
        question=tuple(run.question_id for run in runs),
        behaviour=np.stack(
            [
                _behaviour(recorded.step, one, places)
                for recorded, one in zip((two for run in runs for two in run.steps), steps, strict=True)
            ]
        ),
        features=_table([features(one.view) for one in steps]),
        cost=np.array(cost, dtype=np.float64),
        kinds={kind: tuple(str(run.metadata.get(kind, "")) for run in runs) for kind in kinds},
    )
    return Loaded(logged, {name: np.stack([_row(one, places) for one in rows]) for name, rows in wanted.items()}, used)


def _taken(step: Step, run: RunRecord) -> _Taken | None:
    """None where the propensity of what the step did is not known, or is none."""
    decision, view = step["decision"], view_at(run, step["number"])
    if decision["forced"] == "policy_failed":
        return None
    if decision["forced"] is not None or len(view.legal) <= 1:
        return _Taken(action_key(step), 1.0, view, True)
    chance = decision["propensity"]
    if chance is not None:
        return _Taken(action_key(step), chance, view, False) if 0 < chance <= 1 + CLOSE else None
    spoiled = spoiled_key(step, view)
    if spoiled is None:
        return None
    chance = (decision["probabilities"] or {})[spoiled]
    return _Taken(spoiled, chance, view, False, True) if 0 < chance <= 1 + CLOSE else None


def _behaviour(step: Step, taken: _Taken, places: Mapping[str, int]) -> Floats:
    """The logged probabilities; NaN where there are none, or they are not those that the action was drawn with."""
    sure = _row({taken.key: 1.0}, places)
    if taken.is_forced:
        return sure
    told = {key: one for key, one in (step["decision"]["probabilities"] or {}).items() if key in places}
    row = _row(told, places)
    if abs(row[places[taken.key]] - taken.chance) <= CLOSE and abs(row.sum() - 1) <= 1e-4:
        return row
    return sure if taken.chance >= 1 - CLOSE else np.full(len(places), np.nan)


def _wanted(name: str, target: Target, view: View) -> Mapping[str, float]:
    row = target(view)
    total = sum(row.values())
    if not all(one >= 0 for one in row.values()) or abs(total - 1) > 1e-4:
        raise DataError(f"{name} gives probabilities that add up to {total:.4g}; over the legal options it is 1.")
    for key, one in row.items():
        if one > 0 and key in view.masked:
            raise DataError(f"{name} gives {key!r} the probability {one:.3g} where it is not legal.")
    return {key: one for key, one in row.items() if one > 0}


def _row(chances: Mapping[str, float], places: Mapping[str, int]) -> Floats:
    row = np.zeros(len(places))
    for key, one in chances.items():
        row[places[key]] = one
    return row


def _table(described: Sequence[Mapping[str, float]]) -> Floats | None:
    """[n, number of names]; None where nothing is described."""
    names = sorted({name for one in described for name in one})
    if not names:
        return None
    return np.array([[one.get(name, 0.0) for name in names] for one in described], dtype=np.float64)
