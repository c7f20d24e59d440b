"""Importance weights of an episode's steps: the product of target over logged probabilities so far."""

from __future__ import annotations

import numpy as np

from router_training.ope.bandit import Floats, Logged


def cumulative_weights(logged: Logged, target: Floats) -> Floats:
    """[E, T] the product of the ratios up to and including each step; an episode that is over keeps its last."""
    ratios = logged.taken(target) / logged.propensity
    return np.multiply.accumulate(logged.grid(ratios, fill=1.0), axis=1)


def limit_of(logged: Logged) -> float:
    """The square root of the number of episodes: a weight cut there costs less bias than it saves spread
    (Ionides, Journal of Computational and Graphical Statistics 17, 2008)."""
    return float(np.sqrt(logged.episodes))


def truncated(weights: Floats, limit: float | None) -> Floats:
    """The weights, none above the limit; as they are without one."""
    cut: Floats = weights if limit is None else np.minimum(weights, limit)
    return cut


def before(weights: Floats) -> Floats:
    """[E, T] the weight before each step: 1, then that of the step before."""
    return np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)
