"""How much of what a target would do is in the log."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from router_training.ope.bandit import CLOSE, Floats, Logged
from router_training.ope.rules import Rules
from router_training.ope.weights import before, cumulative_weights, limit_of, truncated

Rule = Literal[
    "questions",
    "deterministic",
    "constant",
    "calibration",
    "support",
    "ess",
    "effective",
    "share",
    "truncated",
    "balance",
    "unknown",
    "unended",
    "spoiled",
]
"""Which of the rules an evaluation fails."""


@dataclass(frozen=True, slots=True)
class ActionSupport:
    """One action: how often it was taken, and how often the target would take it at the same steps."""

    name: str
    logged: int
    """Steps."""
    wanted: float
    """The target's mean probability."""
    unsupported: float
    """The part of `wanted` where the log could not take it."""
    largest: float
    """The largest ratio of target over logged probability among the steps that took it; 0 if none did."""


@dataclass(frozen=True, slots=True)
class Support:
    """What the rules look at; weights are those of whole episodes, the worst step of each number."""

    questions: int
    episodes: int
    steps: int
    ess: float
    """Effective sample size as a share of the episodes: 1 on the policy that made the log (Kong 1992). Where the log
    has all probabilities, weights count that could have been drawn and were not: a lucky log hides the largest."""
    effective: float
    """The effective number of questions."""
    share: float
    """The largest weight of a question, as a share of all."""
    truncated: float
    """The share of weight above the limit."""
    balance: float
    """(mean weight - 1) / its standard error."""
    calibration: float
    """The largest standardised difference between how often an action was taken and its logged probabilities."""
    random: float
    """The share of steps that had more than one possible action."""
    actions: tuple[ActionSupport, ...]

    @property
    def unsupported(self) -> float:
        """The target's probability on actions that the log could not take."""
        return sum(one.unsupported for one in self.actions)


def measure(logged: Logged, target: Floats) -> Support:
    """The support of a target [n, A] in a log."""
    weights = cumulative_weights(logged, target)
    worst = weights[:, int(np.argmin([_effective(column) for column in weights.T]))]
    by_question = logged.by_question(weights)
    total, limit = weights.sum(), limit_of(logged)
    sums = by_question.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.nan_to_num(by_question.max(axis=0) / sums, nan=1.0).max()
        lost = 1 - truncated(weights, limit).sum() / total if total > 0 else 1.0
    ess = min(_effective(worst) / logged.episodes, _expected_ess(logged, target, weights))
    return Support(
        questions=logged.questions,
        episodes=logged.episodes,
        steps=len(logged.action),
        ess=ess,
        effective=min(ess * logged.episodes, *(_effective(column) for column in by_question.T)),
        share=float(share),
        truncated=float(lost),
        balance=_balance(logged, weights[:, -1]),
        calibration=_calibration(logged),
        random=float((logged.propensity < 1 - CLOSE).mean()),
        actions=tuple(_actions(logged, target)),
    )


def failed(support: Support, logged: Logged, rules: Rules) -> tuple[Rule, str] | None:
    """The first rule that the log fails for this target, and a sentence on it."""
    checks: list[tuple[Rule, bool, str]] = [
        (
            "questions",
            support.questions < rules.questions,
            f"the log has {support.questions} different questions; it takes at least {rules.questions}",
        ),
        (
            "deterministic",
            support.random == 0,
            "the log is deterministic: it does not show what else could have been done; record runs with exploration",
        ),
        (
            "constant",
            float(np.ptp(logged.grid(logged.reward).sum(axis=1))) <= 1e-12,
            "every run earned the same, so that no policy can be told from another",
        ),
        (
            "calibration",
            support.calibration > rules.calibration,
            "the logged probabilities are not those with which the actions were drawn "
            f"(off by {support.calibration:.0f} standard errors)",
        ),
        (
            "support",
            support.unsupported > rules.unsupported,
            f"the log never does {_missing(support)} where this policy would "
            f"({100 * support.unsupported:.1f}% of its choices)",
        ),
        (
            "ess",
            support.ess < rules.ess,
            f"the effective sample size is {100 * support.ess:.1f}% of the runs; it takes {100 * rules.ess:.0f}%, so "
            "what this policy does was hardly ever done in the log; record with more exploration, or another policy",
        ),
        (
            "effective",
            support.effective < rules.effective,
            f"the log counts for this target as {math.floor(support.effective)} questions; it takes "
            f"{rules.effective:.0f}; record more questions, or with more exploration",
        ),
        (
            "share",
            support.share > rules.share,
            f"one question has {100 * support.share:.0f}% of the weight; at most {100 * rules.share:.0f}% is allowed",
        ),
        (
            "truncated",
            support.truncated > rules.truncated,
            f"{100 * support.truncated:.0f}% of the weight is on a few runs and would be cut; at most "
            f"{100 * rules.truncated:.0f}% is allowed",
        ),
        (
            "balance",
            abs(support.balance) > rules.balance,
            f"the weights do not average 1 (off by {abs(support.balance):.0f} standard errors): the propensities are "
            "wrong, or the log lacks some of what the target does",
        ),
    ]
    return next(((rule, reason) for rule, fails, reason in checks if fails), None)


def _missing(support: Support) -> str:
    worst = max(support.actions, key=lambda one: one.unsupported)
    return repr(worst.name)


def _effective(weights: Floats) -> float:
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def _expected_ess(logged: Logged, target: Floats, weights: Floats) -> float:
    """1 / E[weight²], step by step: the squared ratio of a step is averaged over what could have been drawn, the states
    in which it is are those of the log, by their squared weights so far. Rows without all probabilities count as drawn.
    """
    squares = (logged.taken(target) / logged.propensity) ** 2
    if logged.behaviour is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = np.where(logged.behaviour > 0, target**2 / logged.behaviour, 0.0)
        known = ~np.isnan(logged.behaviour).any(axis=1)
        squares = np.where(known, ratios.sum(axis=1), squares)
    so_far = before(weights) ** 2
    total = so_far.sum(axis=0)
    steps = (so_far * logged.grid(squares, fill=1.0)).sum(axis=0)
    products = np.cumprod(np.where(total > 0, steps / np.where(total > 0, total, 1.0), 1.0))
    return float(1 / max(products.max(), 1.0))


def _balance(logged: Logged, weights: Floats) -> float:
    sums, counts = logged.by_question(weights), logged.by_question(np.ones(logged.episodes))
    mean = sums.sum() / counts.sum()
    influence = (sums - counts * mean) / counts.mean()
    error = influence.std(ddof=1) / np.sqrt(len(influence)) if len(influence) > 1 else 0.0
    if error <= 1e-12:
        return 0.0 if abs(mean - 1) < 1e-4 else float(np.copysign(np.inf, mean - 1))
    return float((mean - 1) / error)


def _calibration(logged: Logged) -> float:
    """0 where only the propensities are known. Given what came before, each step is a draw of its own."""
    if logged.behaviour is None:
        return 0.0
    rows = ~np.isnan(logged.behaviour).any(axis=1)
    chances = logged.behaviour[rows]
    taken = np.eye(len(logged.actions))[logged.action[rows]]
    spread = (chances * (1 - chances)).sum(axis=0)
    difference = np.abs((taken - chances).sum(axis=0))
    return float((difference / np.sqrt(np.maximum(spread, 1.0))).max(initial=0.0))


def _actions(logged: Logged, target: Floats) -> list[ActionSupport]:
    counts = np.bincount(logged.action, minlength=len(logged.actions))
    possible = np.broadcast_to(counts > 0, target.shape).copy()
    if logged.behaviour is not None:
        known = ~np.isnan(logged.behaviour).any(axis=1)
        possible[known] = logged.behaviour[known] > 0
    outside = np.where(possible, 0.0, target).mean(axis=0)
    ratios = logged.taken(target) / logged.propensity
    return [
        ActionSupport(
            name=name,
            logged=int(counts[n]),
            wanted=float(target[:, n].mean()),
            unsupported=float(outside[n]),
            largest=float(ratios[logged.action == n].max(initial=0.0)),
        )
        for n, name in enumerate(logged.actions)
    ]
