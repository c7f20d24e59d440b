"""From recorded runs, their rewards and a target policy to what evaluation reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from router_graph.actions import Answer, action_from_dict
from router_graph.state import Step
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_graph.view import View
from router_training.errors import DataError
from router_training.ope.bandit import CLOSE, Floats, Logged
from router_training.ope.estimate import CannotTell
from router_training.ope.rules import DEFAULT, Rules

Target = Callable[[View], Mapping[str, float]]
"""The probability of each legal option, by its key, at a view; options that are left out have 0."""
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
    left_out: Mapping[str, int]
    """Runs that were not used, by the reason."""


def from_runs(
    runs: Iterable[RunRecord],
    rewards: Iterable[Scored],
    targets: Mapping[str, Target],
    *,
    features: Features | None = None,
    kinds: Sequence[str] = (),
    rules: Rules = DEFAULT,
) -> Loaded | CannotTell:
    """The runs that ended and have a reward, as a log; `CannotTell` where propensities are not known.

    `kinds` names keys of the runs' metadata to make subgroups by, such as "kind" or "kb". What a step did is the key of
    its route, several joined by " + ". A step at which only one thing was possible, or was forced, changes no weight.
    Raises `DataError` where a target gives no distribution over legal options, or nothing is left to evaluate on.
    """
    earned: dict[str, dict[int, float]] = {}
    for one in rewards:
        of_run = earned.setdefault(one.run_id, {})
        of_run[one.number] = of_run.get(one.number, 0.0) + one.total
    used, left_out, unknown = [], {"not ended": 0, "no reward": 0, "no propensity": 0}, 0
    for run in runs:
        if run.status != "ended" or not run.is_ours or not run.steps:
            left_out["not ended"] += 1
        elif run.run_id not in earned:
            left_out["no reward"] += 1
        elif any(_propensity(one.step, run) is None for one in run.steps):
            left_out["no propensity"] += 1
        else:
            used.append(run)
    unknown, fit = left_out["no propensity"], len(used) + left_out["no propensity"]
    if not fit:
        raise DataError(
            f"No run can be evaluated on: {left_out['not ended']} have not ended and {left_out['no reward']} have no "
            "reward; score the log first."
        )
    if unknown > rules.unknown * fit:
        reason = f"{unknown} of {fit} runs have a step whose propensity is not known; log it, by exact probabilities "
        return CannotTell("unknown", reason + "or by exploration with a known chance", None)
    return _laid_out(used, earned, targets, features or plain_features, kinds, left_out)


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


def action_key(step: Step) -> str:
    """What a step did, as one name: its routes, else its answer, else what it was instead."""
    actions = [action_from_dict(one) for one in step.get("actions", ())]
    routes = sorted({one.target for one in actions if one.kind in ("kb", "llm")})
    if routes:
        return " + ".join(routes)
    if any(isinstance(one, Answer) for one in actions):
        return Answer.target
    return actions[0].target if actions else "nothing"


def _laid_out(
    runs: Sequence[RunRecord],
    earned: Mapping[str, Mapping[int, float]],
    targets: Mapping[str, Target],
    features: Features,
    kinds: Sequence[str],
    left_out: Mapping[str, int],
) -> Loaded:
    keys = {option["key"] for run in runs for option in run.menu}
    keys |= {action_key(one.step) for run in runs for one in run.steps}
    actions = tuple(sorted(keys))
    places = {key: n for n, key in enumerate(actions)}
    several = len(actions)
    action, propensity, reward, episode, number, cost = [], [], [], [], [], []
    behaviour: list[Floats] = []
    wanted: dict[str, list[Floats]] = {name: [] for name in targets}
    described: list[Mapping[str, float]] = []
    for at, run in enumerate(runs):
        of_run = earned[run.run_id]
        last = run.steps[-1].number
        for strange in of_run.keys() - {one.number for one in run.steps} - {0}:
            raise DataError(f"There is a reward for step {strange} of the run {run.run_id!r}, which has {last} steps.")
        for one in run.steps:
            step, view = one.step, view_at(run, one.number)
            key, chance = action_key(step), _propensity(step, run)
            assert chance is not None
            place = places[key]
            action.append(place)
            propensity.append(chance)
            reward.append(of_run.get(one.number, 0.0) + (of_run.get(0, 0.0) if one.number == last else 0.0))
            episode.append(at)
            number.append(one.number)
            cost.append(_usd(step))
            described.append(features(view))
            sure = np.eye(several)[place]
            behaviour.append(sure if _is_forced(step, run) else _behaviour(step, places, place, chance))
            for name, target in targets.items():
                wanted[name].append(sure if _is_forced(step, run) else _wanted(name, target, view, places))
    names = sorted({name for one in described for name in one})
    table = np.array([[one.get(name, 0.0) for name in names] for one in described], dtype=np.float64)
    logged = Logged(
        actions=actions,
        action=np.array(action, dtype=np.int64),
        propensity=np.array(propensity),
        reward=np.array(reward, dtype=np.float64),
        episode=np.array(episode, dtype=np.int64),
        step=np.array(number, dtype=np.int64),
        question=tuple(run.question_id for run in runs),
        behaviour=np.stack(behaviour),
        features=table if names else None,
        cost=np.array(cost, dtype=np.float64),
        kinds={kind: tuple(str(run.metadata.get(kind, "")) for run in runs) for kind in kinds},
    )
    rows = {name: np.stack(several_rows) for name, several_rows in wanted.items()}
    return Loaded(logged, rows, {reason: count for reason, count in left_out.items() if count})


def _is_forced(step: Step, run: RunRecord) -> bool:
    decision = step["decision"]
    return decision["forced"] is not None or len(run.menu) - len(decision["masked"]) <= 1


def _propensity(step: Step, run: RunRecord) -> float | None:
    """1 where nothing else was possible; None where it is not known, or is none."""
    if _is_forced(step, run):
        return 1.0
    chance = step["decision"]["propensity"]
    return chance if chance is not None and 0 < chance <= 1 + CLOSE else None


def _behaviour(step: Step, places: Mapping[str, int], place: int, chance: float) -> Floats:
    """The logged probabilities; NaN where there are none, or they are not those that the action was drawn with."""
    row = np.zeros(len(places))
    for key, probability in (step["decision"]["probabilities"] or {}).items():
        if key in places:
            row[places[key]] = probability
    if abs(row[place] - chance) > CLOSE or abs(row.sum() - 1) > 1e-4:
        if chance >= 1 - CLOSE:
            row[:] = 0.0
            row[place] = 1.0
            return row
        return np.full(len(places), np.nan)
    return row


def _wanted(name: str, target: Target, view: View, places: Mapping[str, int]) -> Floats:
    row = np.zeros(len(places))
    for key, probability in target(view).items():
        if probability > 0 and key in view.masked:
            raise DataError(f"{name} gives {key!r} the probability {probability:.3g} where it is not legal.")
        if probability > 0 and key not in places:
            raise DataError(f"{name} gives {key!r} a probability; the log knows {', '.join(places)}.")
        if key in places:
            row[places[key]] = probability
    if not (row >= 0).all() or abs(row.sum() - 1) > 1e-4:
        raise DataError(f"{name} gives probabilities that add up to {row.sum():.4g}; over the legal options it is 1.")
    return row


def _usd(step: Step) -> float:
    return step["decision"]["usd"] + sum(one["usd"] for one in step.get("observations", {}).values())
