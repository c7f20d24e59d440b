"""Where a mean over questions lies with 95 % confidence: bootstrap over questions, studentised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router_training.ope.bandit import Floats

RESAMPLES = 2000
LEVEL = 0.95
_AT_ONCE = 2_000_000
"""Numbers that are drawn at a time: 16 MB."""
_NOTHING = 1e-9
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and where it lies. The ends are infinite where the sample cannot bound it."""

    value: float
    low: float
    high: float
    error: float
    """The standard error."""
    n: int
    """Questions."""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interval(pseudo: Floats, *, seed: int = 0, effective: float | None = None) -> Interval:
    """Of the mean of one value per question [G], by the bootstrap-t (Efron and Tibshirani 1993, ch. 12.5).

    Studentised, because weighted rewards are skewed: percentile intervals are then too short on the far side.
    `effective` is how many questions the weighted ones count as: what so few need in width above G is added.
    """
    return intervals([pseudo], seed=seed, effective=[effective])[0]


def intervals(
    columns: Sequence[Floats], *, seed: int = 0, effective: Sequence[float | None] | None = None
) -> list[Interval]:
    """`interval` of several, all [G], on the same resamples: each as it would be alone, in less time."""
    n = len(columns[0])
    table = np.stack(columns, axis=1)
    values = table.mean(axis=0)
    if n < 2:
        return [Interval(float(value), -math.inf, math.inf, math.inf, n) for value in values]
    errors = table.std(axis=0, ddof=1) / math.sqrt(n)
    scale = np.where(errors > _NOTHING * np.maximum(1.0, np.abs(values)), errors, np.inf)
    studentised = _studentised((table - values) / (scale * math.sqrt(n)), seed)
    tail = (1 - LEVEL) / 2
    lower, upper = np.quantile(studentised, (tail, 1 - tail), axis=0, method="inverted_cdf")
    found = []
    for at, (value, error) in enumerate(zip(values.tolist(), errors.tolist(), strict=True)):
        if math.isinf(scale[at]):
            found.append(Interval(value, value, value, 0.0, n))
        else:
            counts = n if effective is None else effective[at] or n
            wider = error * max(1.0, _small_sample(counts) / _small_sample(n))
            found.append(Interval(value, float(value - upper[at] * wider), float(value - lower[at] * wider), error, n))
    return found


def _small_sample(n: float) -> float:
    """How much wider than the normal one the interval of a mean of n is: Student's quantile (Cornish and Fisher's first
    term) over the normal one, times the inflation of an estimated variance, sqrt(n / (n - 2))."""
    freedom = max(n - 1, 2.0)
    return (1 + (_Z**2 + 1) / (4 * freedom)) * math.sqrt(max(n, 3.0) / (max(n, 3.0) - 2))


def _studentised(unit: Floats, seed: int) -> Floats:
    """[RESAMPLES, columns] the resampled means over their standard errors; infinite where a resample does not vary."""
    n, drawn = len(unit), np.random.default_rng(seed)
    both = np.concatenate([unit, unit**2], axis=1)
    chunks = []
    for start in range(0, RESAMPLES, size := max(1, _AT_ONCE // n)):
        rows = min(size, RESAMPLES - start)
        flat = drawn.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(flat.ravel(), minlength=rows * n).reshape(rows, n)
        means, squares = np.split(counts @ both / n, 2, axis=1)
        spread = np.sqrt(np.maximum(squares - means**2, 0.0) / (n - 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            chunks.append(np.where(spread > _NOTHING / n, means / spread, np.copysign(math.inf, means)))
    return np.concatenate(chunks)
