"""Estimators of what a target policy would have earned, each as one value for every question.

Every estimate is a mean of pseudo-values (the estimate plus the influence of each question), so that one interval fits
all of them, and the difference of two policies is the mean of the differences, question by question.
"""

from __future__ import annotations

import numpy as np

from router_training.ope.bandit import Floats, Logged
from router_training.ope.weights import before, cumulative_weights, truncated


def on_policy(logged: Logged) -> Floats:
    """[G] of the policy that made the log: what its episodes earned."""
    return _mean_of(logged, logged.grid(logged.reward).sum(axis=1))


def ips(logged: Logged, target: Floats, *, limit: float | None = None) -> Floats:
    """[G] per-decision importance sampling (Precup, Sutton and Singh, ICML 2000). Unbiased without a limit, and the
    one that varies most: for reference."""
    weights = truncated(cumulative_weights(logged, target), limit)
    return _mean_of(logged, (weights * logged.grid(logged.reward)).sum(axis=1))


def snips(logged: Logged, target: Floats, *, limit: float | None = None) -> Floats:
    """[G] self-normalised (Swaminathan and Joachims, NeurIPS 2015); of several steps, each step's weights by their own
    mean (weighted per-decision importance sampling, Precup, Sutton and Singh 2000)."""
    weights = truncated(cumulative_weights(logged, target), limit)
    return _ratios(logged, weights * logged.grid(logged.reward), weights)


def direct(logged: Logged, target: Floats, q: Floats) -> Floats:
    """[G] the direct method: what a model of rewards says (`action_values`, [n, A]), no matter how wrong it is."""
    values = (q * target).sum(axis=1)
    return _mean_of(logged, logged.grid(values)[:, 0])


def doubly_robust(logged: Logged, target: Floats, q: Floats, *, limit: float | None = None) -> Floats:
    """[G] doubly robust (Dudík, Langford and Li, ICML 2011; stepwise: Jiang and Li, ICML 2016, eq. 10): unbiased
    whatever the model says, as long as its values [n, A] are cross-fitted."""
    weights = truncated(cumulative_weights(logged, target), limit)
    surprise = logged.grid(logged.reward - logged.taken(q))
    expected = logged.grid((q * target).sum(axis=1))
    return _mean_of(logged, (weights * surprise + before(weights) * expected).sum(axis=1))


def _mean_of(logged: Logged, scores: Floats) -> Floats:
    """[G] pseudo-values of the mean of the episodes' scores [E]."""
    return _ratios(logged, scores[:, None], np.ones((logged.episodes, 1)))


def _ratios(logged: Logged, above: Floats, below: Floats) -> Floats:
    """[G] pseudo-values of the sum over columns of sum(above) / sum(below); both [E, T]. NaN where nothing is below."""
    over, under = logged.by_question(above), logged.by_question(below)
    total = under.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = over.sum(axis=0) / total
        influence = (over - under * ratios) * (len(over) / total)
    pseudo: Floats = ratios.sum() + influence.sum(axis=1)
    return pseudo
