"""Differences between two samples of prompts, for thousands of experts at once: intervals, p- and q-values.

A prompt is one observation, whatever its number of tokens: tokens of one prompt are not independent, and with tokens as
observations nearly every expert of a large model is "significant".

Shapes: F experts in one row, all layers of a model behind one another; R replicates.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Z95 = 1.959963984540054
"""The two-sided 95 % quantile of the normal distribution."""

_CELLS = 4_000_000
"""Cells of the table of hypergeometric tails that are held at once: 32 MB for each of its few copies."""


def wilson(k: Floats, n: int) -> tuple[Floats, Floats, Floats]:
    """(share, low, high), each [F], of k of n: Wilson's 95 % interval (JASA 22, 1927)."""
    p = k / n
    centre = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * np.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return p, np.minimum(centre - half, p), np.maximum(centre + half, p)


def newcombe_interval(k_a: Floats, n_a: int, k_b: Floats, n_b: int) -> tuple[Floats, Floats]:
    """95 % interval [F] of the difference of two proportions, k of n each: Newcombe's hybrid of two Wilson intervals
    (Statistics in Medicine 17, 1998, method 10), which covers well for rare and for constant experts too."""
    (p_a, low_a, high_a), (p_b, low_b, high_b) = wilson(k_a, n_a), wilson(k_b, n_b)
    difference = p_a - p_b
    low = difference - np.hypot(p_a - low_a, high_b - p_b)
    high = difference + np.hypot(high_a - p_a, p_b - low_b)
    return low, high


def fisher_p(k_a: Floats, n_a: int, k_b: Floats, n_b: int) -> Floats:
    """Two-sided p-values [F] of Fisher's exact test that k of n are one proportion, the smaller tail doubled.

    Exact, because the normal approximation is too sure just where thousands of tests are made: for rare experts and for
    samples of unequal size. Its cost depends on the sizes of the samples, hardly on F.
    """
    k_a, k_b = k_a.astype(np.int64), k_b.astype(np.int64)
    n = n_a + n_b
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1)))))
    margins, where = np.unique(k_a + k_b, return_inverse=True)
    support = np.arange(n_a + 1)
    p = np.empty(len(k_a))
    rows = max(1, _CELLS // len(support))
    for start in range(0, len(margins), rows):
        margin = margins[start : start + rows, None]
        rest = margin - support
        possible = (rest >= 0) & (rest <= n_b)
        rest = rest.clip(0, n_b)
        log_p = (
            (log_factorial[n_a] - log_factorial[support] - log_factorial[n_a - support])
            + (log_factorial[n_b] - log_factorial[rest] - log_factorial[n_b - rest])
            - (log_factorial[n] - log_factorial[margin] - log_factorial[n - margin])
        )
        mass = np.where(possible, np.exp(log_p), 0.0)
        at_most = mass.cumsum(1)
        at_least = mass[:, ::-1].cumsum(1)[:, ::-1]
        here = (where >= start) & (where < start + rows)
        row, column = where[here] - start, k_a[here]
        p[here] = 2 * np.minimum(at_most[row, column], at_least[row, column])
    return p.clip(0.0, 1.0)


def welch(
    mean_a: Floats, variance_a: Floats, n_a: int, mean_b: Floats, variance_b: Floats, n_b: int
) -> tuple[Floats, Floats, Floats]:
    """(low, high, p), each [F], of a difference of means: Welch's t, for rates and sums that are not just 0 or 1.

    No p is below the least that relabelling the prompts could give, so that experts that are constant in both samples
    of a few prompts do not seem certain.
    """
    part_a, part_b = variance_a / n_a, variance_b / n_b
    error = np.sqrt(part_a + part_b)
    difference = mean_a - mean_b
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (part_a + part_b) ** 2 / (part_a**2 / max(n_a - 1, 1) + part_b**2 / max(n_b - 1, 1))
        t = np.where(error > 0, np.abs(difference) / error, np.where(difference == 0, 0.0, np.inf))
    df = np.where(np.isfinite(df), df, float(n_a + n_b - 2)).clip(1.0)
    half = _t_quantile(df) * error
    log_ways = math.lgamma(n_a + n_b + 1) - math.lgamma(n_a + 1) - math.lgamma(n_b + 1)
    return difference - half, difference + half, _t_tails(t, df).clip(2 * math.exp(-log_ways), 1.0)


def relabelling_p(difference: Floats, n_a: int, n_b: int, variance: Floats, third: Floats) -> Floats:
    """Two-sided p-values [F] of a difference of means: how far relabelling the prompts at random would bring it.

    `variance` and `third` are the central moments (divided by n) of all prompts together. The distribution of the
    difference over all relabellings is taken as a Pearson type III with its exact variance and skewness (Mielke, Berry
    and Johnson, Communications in Statistics A5, 1976), on the side of its short tail as a normal one. Samples of
    unequal size need that: an expert that few prompts use has a skewed mean, and Welch's t alone finds thousands of
    such experts significant where there is nothing.
    """
    import torch

    n = n_a + n_b
    deviation = difference * n_a * n_b / n
    spread = variance * n_a * n_b / (n - 1)
    skew = third * n_a * n_b * (n_b - n_a) / ((n - 1) * max(n - 2, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(spread > 0, np.abs(deviation) / np.sqrt(spread), 0.0)
        # The same scale for the skewness; it counts where it lies on the side of the difference.
        skew = np.nan_to_num(np.sign(deviation) * skew / spread**1.5)
    tail = np.array([math.erfc(one / math.sqrt(2)) / 2 for one in z.tolist()])
    long = skew > 1e-3
    shape = torch.from_numpy(4 / skew[long] ** 2)
    tail[long] = torch.special.gammaincc(shape, shape + torch.from_numpy(z[long]) * shape.sqrt()).numpy()
    return (2 * tail).clip(0.0, 1.0)


def benjamini_hochberg(p: Floats) -> Floats:
    """q-values: the share of false discoveries expected among all experts whose q is not above this one's
    (Benjamini and Hochberg, JRSS B 57, 1995)."""
    order = np.argsort(p, kind="stable")
    stepped = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty_like(p)
    q[order] = np.minimum.accumulate(stepped[::-1])[::-1]
    return q.clip(0.0, 1.0)


def _t_tails(t: Floats, df: Floats) -> Floats:
    """Both tails of Student's t beyond ±t: Hill's normal transform (Comm. ACM 13, 1970, algorithm 395)."""
    a = df - 0.5
    b = 48 * a**2
    with np.errstate(over="ignore", invalid="ignore"):
        y = a * np.log1p(np.minimum(t, 1e150) ** 2 / df)
        z = np.sqrt(y) * (((((-0.4 * y - 3.3) * y - 24.0) * y - 85.5) / (0.8 * y**2 + 100.0 + b) + y + 3.0) / b + 1.0)
    return np.array([math.erfc(one / math.sqrt(2)) for one in z.tolist()])


def _t_quantile(df: Floats) -> Floats:
    """The two-sided 95 % quantile of Student's t: Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5)."""
    z = Z95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return np.asarray(z + sum(term / df**power for power, term in enumerate(terms, 1)), dtype=np.float64)
