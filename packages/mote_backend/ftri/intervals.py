"""Means of scores from 0 to 1, and their differences on the same prompts, each with its 95 % interval and its n."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mote_backend.ftri.statistics import Z95, wilson

RESAMPLES = 4000
"""Bootstrap samples: the ends of an interval then vary by about 1 % of its width from seed to seed."""


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference of means, and where it lies with 95 % confidence."""

    value: float
    low: float
    high: float
    n: int
    """Prompts that it was taken over."""

    def __str__(self) -> str:
        return f"{100 * self.value:.0f}% [{100 * self.low:.0f}, {100 * self.high:.0f}] (n={self.n})"


def mean(scores: Sequence[float], *, seed: int = 0) -> Estimate:
    """The mean score. Scores of 0 and 1: Wilson's interval; others: Bayesian bootstrap over prompts.

    Without scores the interval is all of 0 to 1.
    """
    if not scores:
        return Estimate(0.0, 0.0, 1.0, 0)
    if set(scores) <= {0.0, 1.0}:
        share, low, high = (float(one[0]) for one in wilson(np.array([sum(scores)]), len(scores)))
        return Estimate(share, low, high, len(scores))
    return _bootstrap(np.asarray(scores), seed, (0.0, 1.0))


def difference(before: Sequence[float], after: Sequence[float], *, seed: int = 0) -> Estimate:
    """Mean of `after` minus mean of `before`, scored on the same prompts in the same order.

    Scores of 0 and 1: the adjusted Wald interval for paired proportions of Bonett and Price (Journal of Educational and
    Behavioral Statistics 37, 2012), which, unlike a bootstrap, does not shrink to a point when all prompts agree.
    Others: as for `mean`.
    """
    n = len(before)
    if n != len(after):
        raise ValueError(f"{n} scores before and {len(after)} after; a paired difference needs as many.")
    if not n:
        return Estimate(0.0, -1.0, 1.0, 0)
    if not {*before, *after} <= {0.0, 1.0}:
        return _bootstrap(np.asarray(after) - np.asarray(before), seed, (-1.0, 1.0))
    more = sum(b < a for b, a in zip(before, after, strict=True))
    less = sum(b > a for b, a in zip(before, after, strict=True))
    up, down = (more + 1) / (n + 2), (less + 1) / (n + 2)
    half = Z95 * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    value = (more - less) / n
    low, high = max(-1.0, up - down - half), min(1.0, up - down + half)
    return Estimate(value, min(low, value), max(high, value), n)


def _bootstrap(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], seed: int, ends: tuple[float, float]
) -> Estimate:
    """Of a mean. The weights are Dirichlet (Bayesian bootstrap, Rubin 1981) over the values and over both ends of
    what is possible, which weigh half a prompt each: so that few or equal values do not seem certain."""
    drawn = np.random.default_rng(seed)
    atoms = np.concatenate([values, ends])
    shape = np.concatenate([np.ones(len(values)), [0.5, 0.5]])
    weights = drawn.gamma(shape, size=(RESAMPLES, len(atoms)))
    means = (weights @ atoms) / weights.sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    value = float(values.mean())
    return Estimate(value, min(float(low), value), max(float(high), value), len(values))
