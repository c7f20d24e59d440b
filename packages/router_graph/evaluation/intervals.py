"""How sure a mean is, and a difference of two: bootstrap over questions, and a paired test by exchanging signs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000
_AT_ONCE = 1_000_000
"""Drawn numbers that are held at a time."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


def draws(n: int, *, seed: int, resamples: int = RESAMPLES) -> Iterator[NDArray[np.int64]]:
    """Resampled places of n questions, a block of resamples × n at a time; the same for the same n and seed."""
    generator, left = np.random.default_rng(seed), resamples
    block = max(1, _AT_ONCE // max(1, n))
    while left > 0:
        yield generator.integers(0, n, size=(min(block, left), n))
        left -= block


def bootstrap(values: Sequence[float] | NDArray[np.float64], *, seed: int = 0) -> Interval:
    """The mean and the 2.5 and 97.5 percentiles of resampled means (Efron, 1979). Of none, all are 0."""
    array = np.asarray(values, dtype=float)
    if not array.size:
        return Interval(0.0, 0.0, 0.0)
    means = np.concatenate([array[places].mean(axis=1) for places in draws(array.size, seed=seed)])
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(array.mean()), float(low), float(high))


def paired_p(differences: Sequence[float] | NDArray[np.float64], *, seed: int = 0, flips: int = 10_000) -> float:
    """Two-sided p that the mean difference is 0: the share of random signs that give one as large (Fisher, 1935), with
    the observed one counted in. 1 where all differences are 0."""
    array = np.asarray(differences, dtype=float)
    array = array[array != 0]
    if not array.size:
        return 1.0
    generator, seen, large, left = np.random.default_rng(seed), abs(array.sum()), 0, flips
    block = max(1, _AT_ONCE // array.size)
    while left > 0:
        signs = generator.integers(0, 2, size=(min(block, left), array.size)) * 2 - 1
        large += int((np.abs(signs @ array) >= seen - 1e-9).sum())
        left -= block
    return (large + 1) / (flips + 1)
