"""Thresholds of the gate from a log: what answering, and going on, after the first search brought, and where."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from router_graph.actions import Answer, RouteToKB, action_from_dict
from router_graph.policies.gate import Features, Gate, Thresholds, features_of
from router_graph.policies.learned.decided import Rewards
from router_graph.trajectories.records import RunRecord, StepRecord
from router_graph.trajectories.views import view_at

_NEVER = 1.01
"""No share is as high."""
_TOPS = (0.0, 0.25, 0.5, 0.6, 0.75, 0.9, 1.0, _NEVER)
_COVERAGES = (0.5, 0.75, 0.9, 1.0, _NEVER)
_MARGINS = (0.0, 0.1, 0.25)
_WORDS = (12, 25, 10_000)
_FEWEST = 5
"""Runs that must agree with thresholds before they are judged."""


@dataclass(frozen=True, slots=True)
class Gated:
    """The choice after the first search of a run."""

    run_id: str
    question: str
    features: Features
    answered: bool
    chance: float
    """The probability with which this of the two ways was taken."""
    value: float
    """The quality of the run minus λ · USD of what came after the first search."""


def gated(runs: Iterable[RunRecord], rewards: Rewards, *, usd_weight: float = 0.0) -> list[Gated]:
    """The runs that searched one knowledge base first, and could answer or go on then, with known chances."""
    found = []
    for run in runs:
        if not run.is_ours or run.status != "ended" or len(run.steps) < 2 or not _is_first_search(run.steps[0]):
            continue
        second = run.steps[1]
        quality = rewards.get((run.run_id, second.number), rewards.get((run.run_id, 0)))
        actions = [action_from_dict(one) for one in second.step.get("actions", ())]
        answered = any(isinstance(one, Answer) for one in actions)
        chance = _chance(second, answered)
        if quality is None or not chance or not actions or second.step["decision"]["forced"] is not None:
            continue
        features = features_of(run.question, view_at(run, second.number).evidence)
        usd = sum(one["usd"] for step in run.steps[1:] for one in step.step.get("observations", {}).values())
        value = quality - usd_weight * usd
        found.append(Gated(run.run_id, run.question, features, answered, chance, value))
    return found


def fitted_thresholds(after: Sequence[Gated]) -> tuple[Thresholds, float]:
    """The thresholds of the highest estimated value, and that value; of those within a standard error of it, the ones
    that are nearest to the gate's own.

    The value of thresholds is the self-normalised importance-weighted mean over the runs that did what they want
    (SNIPS, Swaminathan and Joachims 2015). The log tells answering from going on; which of the two ways to answer is
    not told apart, and follows `top`.
    """
    own = Thresholds()
    judged: list[tuple[float, float, Thresholds]] = []
    for top, margin, words, coverage in itertools.product(_TOPS, _MARGINS, _WORDS, _COVERAGES):
        at = Thresholds(top=top, margin=margin, words=words, coverage=coverage)
        if (value := _value(Gate(at), after)) is not None:
            judged.append((*value, at))
    if (value := _value(Gate(own), after)) is not None:
        judged.append((*value, own))
    best, error, _ = max(judged, key=lambda one: one[0])
    near = [one for one in judged if one[0] >= best - error]
    mean, _, nearest = min(near, key=lambda one: (_far(one[2], own), -one[0]))
    return nearest, mean


def _value(gate: Gate, after: Sequence[Gated]) -> tuple[float, float] | None:
    """The estimated value and its standard error; None where too few runs did what the gate wants."""
    agreed = [one for one in after if (gate.decide(one.features) != "go on") == one.answered]
    if len(agreed) < _FEWEST:
        return None
    weights = [1 / one.chance for one in agreed]
    whole = sum(weights)
    mean = sum(weight * one.value for weight, one in zip(weights, agreed, strict=True)) / whole
    spread = sum((weight * (one.value - mean)) ** 2 for weight, one in zip(weights, agreed, strict=True))
    return mean, math.sqrt(spread) / whole


def _chance(step: StepRecord, answered: bool) -> float | None:
    """How likely it was to answer, or not to; None where nobody knows, or where only one of the two could happen: such
    a run says nothing of the other way, nor can it be known what is missing."""
    answer = (step.step["decision"]["probabilities"] or {}).get("answer", 0.0)
    return (answer if answered else 1 - answer) if 0 < answer < 1 else None


def _is_first_search(step: StepRecord) -> bool:
    actions = [action_from_dict(one) for one in step.step.get("actions", ())]
    return len(actions) == 1 and isinstance(actions[0], RouteToKB) and step.is_whole


def _far(one: Thresholds, own: Thresholds) -> float:
    words = abs(math.log(one.words / own.words)) / 3
    return abs(one.top - own.top) + abs(one.margin - own.margin) + abs(one.coverage - own.coverage) + words
