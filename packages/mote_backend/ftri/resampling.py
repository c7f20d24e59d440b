"""Half-samples of a stream of prompts: how stable a ranking is, and how large a difference chance alone makes.

Each replicate gives each prompt a sign, as many + as -. The signed sum of what was observed, together with the plain
sum, gives the sums over both halves: complementary half-samples (Shah and Samworth, JRSS B 75, 2013). And the signed
sum is itself one draw of what a mean would be without any effect: the multiplier bootstrap, whose largest value over
all experts gives the threshold for all of them at once (Chernozhukov, Chetverikov and Kato, Annals of Statistics 41,
2013). So neither needs the observations again, and memory does not grow with the number of prompts.

Shapes: F experts in one row, all layers behind one another; R replicates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Whole = NDArray[np.int64]

REPLICATES = 200
"""Signed sums of a sample: enough for the 95 % quantile of the largest of them."""

PAIRS = 50
"""Replicates of which the stability is made: twice as many half-samples."""

_BLOCK = 256
"""Prompts that are balanced together; the signs of so many are held at once."""


def balanced_signs(prompts: int, replicates: int, seed: int, stream: int) -> Iterator[NDArray[np.int8]]:
    """For each of this many prompts in turn, its signs [R], +1 or -1; an odd one out of a block has either."""
    generator = np.random.default_rng([seed, stream])
    for start in range(0, prompts, _BLOCK):
        size = min(_BLOCK, prompts - start)
        order = generator.random((replicates, size), dtype=np.float32).argsort(1)
        spare = generator.integers(0, 2, replicates) if size % 2 else np.zeros(replicates, np.int64)
        plus = (size + spare) // 2
        yield from np.where(order < plus[:, None], np.int8(1), np.int8(-1)).T


@dataclass(frozen=True, eq=False)
class Sample:
    """Sums over n prompts: all that resampling needs of them."""

    n: int
    total: Floats
    """[F] the plain sum."""
    signed: Singles
    """[R, F] the signed sums."""
    balance: Whole
    """[R] the sums of the signs."""

    def __add__(self, other: Sample) -> Sample:
        """Both samples as one."""
        return Sample(
            self.n + other.n, self.total + other.total, self.signed + other.signed, self.balance + other.balance
        )

    @property
    def mean(self) -> Floats:
        """[F] over all prompts."""
        return self.total / self.n

    def half_means(self, replicates: int) -> Singles:
        """[2 × replicates, F]: means over the + halves, then over the - halves."""
        signed, balance = self.signed[:replicates], self.balance[:replicates, None]
        whole = self.total.astype(np.float32)
        plus = ((self.n + balance) / 2).astype(np.float32)
        return np.concatenate(((whole + signed) / (2 * plus), (whole - signed) / (2 * (self.n - plus))))

    def noise(self) -> Singles:
        """[R, F]: what the mean would be by chance, had each prompt been as likely to be below as above it."""
        draws: Singles = self.signed / np.float32(self.n)
        if self.balance.any():
            draws -= np.outer(self.balance / self.n, self.mean).astype(np.float32)
        return draws


def stability(a: Sample, b: Sample, top: int) -> Floats:
    """Share [F] of the half-samples in which the difference of means, a - b, is above 0 and among the `top` largest."""
    differences = a.half_means(PAIRS) - b.half_means(PAIRS)
    top = min(top, differences.shape[1])
    chosen = np.argpartition(-differences, top - 1, axis=1)[:, :top]
    above = np.take_along_axis(differences, chosen, 1) > 0
    shares: Floats = np.bincount(chosen[above], minlength=differences.shape[1]) / len(differences)
    return shares


def chance_difference(a: Sample, b: Sample, level: float = 0.95) -> float:
    """The |difference of means| that, without any effect, not one of the F experts passes with this probability; with
    sets of very unequal size about that: there the experts that few prompts use pass it up to twice as often."""
    draws = a.noise() - b.noise()
    largest = np.maximum(draws.max(1), -draws.min(1))
    return float(np.quantile(largest, level, method="higher")) + 0.0  # which makes 0 of -0
