"""What a target policy would have earned on the logged questions, or why nobody can tell from this log.

Only the choice of route is evaluated: what is asked of the route, and what deciding takes, is as it was logged, so that
a policy that also words its queries better, or worse, needs runs of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from router_training.ope import estimators
from router_training.ope.bandit import Floats, Logged, check_target
from router_training.ope.intervals import Interval, interval, intervals
from router_training.ope.reward_model import action_values
from router_training.ope.rules import DEFAULT, Rules
from router_training.ope.support import Rule, Support, failed, measure
from router_training.ope.weights import limit_of

METHOD = "cross-fitted doubly robust, bootstrap-t over questions"
ESTIMAND = (
    "What a run earns on average if the policy chooses what to ask at each of its steps, on the questions of the log. "
    "How a choice is worded, and what comes of it, is as logged."
)
"""Of whole runs: an earlier choice changes what later steps see, and weights are products over the steps. It is not a
mean over the states of the log, of which the policy would see others."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """In the unit of the reward, per episode. It is an estimate from a log, and never an accuracy."""

    value: Interval
    """Doubly robust: the one that is meant."""
    snips: Interval
    """Self-normalised importance sampling, without any model: a second opinion."""
    ips: float
    """For reference."""
    direct: float
    """What the model of rewards alone says."""
    logged: Interval
    """What the policy that made the log earned."""
    gain: Interval
    """`value` minus `logged`, question by question."""
    support: Support
    seed: int


@dataclass(frozen=True, slots=True)
class CannotTell:
    """The log does not say."""

    rule: Rule
    reason: str
    """A sentence, without its full stop."""
    support: Support | None

    def __str__(self) -> str:
        return f"cannot tell: {self.reason}"


def evaluate(logged: Logged, target: ArrayLike, *, seed: int = 0, rules: Rules = DEFAULT) -> Estimate | CannotTell:
    """The value of a target's probabilities [n, A] at the steps of the log; `CannotTell` by `Rules`.

    Raises `DataError` where the target does not belong to the log.
    """
    probabilities = check_target(logged, target)
    support = measure(logged, probabilities)
    if (fails := failed(support, logged, rules)) is not None:
        return CannotTell(*fails, support)
    limit = limit_of(logged)
    q = action_values(logged, probabilities, seed=seed)
    robust, made = estimators.doubly_robust(logged, probabilities, q, limit=limit), estimators.on_policy(logged)
    weighted = estimators.snips(logged, probabilities, limit=limit)
    few = support.effective
    value, snips, earned, gain = intervals(
        [robust, weighted, made, robust - made], seed=seed, effective=[few, few, None, few]
    )
    return Estimate(
        value=value,
        snips=snips,
        ips=float(estimators.ips(logged, probabilities).mean()),
        direct=float(estimators.direct(logged, probabilities, q).mean()),
        logged=earned,
        gain=gain,
        support=support,
        seed=seed,
    )


def compare(
    logged: Logged, one: ArrayLike, other: ArrayLike | None = None, *, seed: int = 0, rules: Rules = DEFAULT
) -> Interval | CannotTell:
    """What `one` earns more than `other`, question by question; without `other`, than the policy that made the log."""
    values, effective = [], float(logged.questions)
    for target in (one, other):
        if target is None:
            values.append(estimators.on_policy(logged))
            continue
        probabilities = check_target(logged, target)
        support = measure(logged, probabilities)
        if (fails := failed(support, logged, rules)) is not None:
            return CannotTell(*fails, support)
        values.append(pseudo_values(logged, probabilities, seed=seed))
        effective = min(effective, support.effective)
    return interval(values[0] - values[1], seed=seed, effective=effective)


def by_group(
    logged: Logged, target: ArrayLike, kind: str, *, seed: int = 0, rules: Rules = DEFAULT
) -> dict[str, Estimate | CannotTell]:
    """The estimate of each subgroup of a kind, on its own part of the log: averages hide what happens to a few."""
    probabilities = check_target(logged, target)
    groups = np.asarray(logged.kinds[kind], dtype=object)
    return {
        str(name): evaluate(*logged.only(groups == name, probabilities), seed=seed, rules=rules)
        for name in sorted(set(logged.kinds[kind]))
    }


def pseudo_values(logged: Logged, target: Floats, *, seed: int = 0) -> Floats:
    """[G] of the estimator that counts: doubly robust, weights cut at the square root of the episodes."""
    q = action_values(logged, target, seed=seed)
    return estimators.doubly_robust(logged, target, q, limit=limit_of(logged))
