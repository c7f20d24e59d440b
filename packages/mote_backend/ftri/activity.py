"""How often the experts of a model were selected over a set of prompts: sums, whatever the number of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mote_backend.errors import InputError
from mote_backend.ftri.resampling import REPLICATES, Sample, balanced_signs

Floats = NDArray[np.float64]

_HELD = 64
"""Prompts that are held before they are summed up: one matrix product for so many is faster than one for each batch."""


@dataclass(frozen=True, eq=False)
class Activity:
    """What a set of prompts made a model's routers select. One prompt is one observation.

    The observation of an expert is the share of the prompt's tokens that selected it, so that the observations of a
    layer sum to its top-k; or the number of those tokens, if they were summed. F: experts of all layers, behind one
    another.
    """

    name: str
    """Of the set of prompts."""
    digest: str
    """Of the set of prompts."""
    at: str
    """Which tokens of a prompt were looked at."""
    experts: tuple[int, ...]
    """Experts of each routed layer; their sum is F."""
    sample: Sample
    """Sums of the observations."""
    squares: Floats
    """[F] sum of the squared observations."""
    cubes: Floats
    """[F] sum of the cubed observations, for the skewness of what is rare."""
    gates: Floats | None
    """[F] sum of the gate weights that the expert had, 0 where it was not selected; None if a router tells none."""
    tokens: int
    """Tokens looked at, of all prompts."""
    binary: bool
    """Each observation is 0 or 1, because one token of each prompt was looked at."""

    @property
    def n(self) -> int:
        """Prompts."""
        return self.sample.n

    @property
    def rates(self) -> Floats:
        """[F] mean observation."""
        return self.sample.mean

    @property
    def gate_means(self) -> Floats | None:
        """[F] mean gate weight, 0 where the expert was not selected."""
        return None if self.gates is None else self.gates / self.n

    @property
    def variances(self) -> Floats:
        """[F] variance of an observation, with n - 1."""
        centred = self.squares - self.sample.total**2 / self.n
        return np.maximum(centred, 0.0) / max(self.n - 1, 1)

    @property
    def central_moments(self) -> tuple[Floats, Floats]:
        """(second, third) of an observation, both [F], divided by n."""
        mean, square = self.rates, self.squares / self.n
        second = np.maximum(square - mean**2, 0.0)
        return second, self.cubes / self.n - 3 * mean * square + 2 * mean**3

    @cached_property
    def layer(self) -> NDArray[np.int64]:
        """[F] routed layer of each expert."""
        return np.repeat(np.arange(len(self.experts)), self.experts)

    @cached_property
    def expert(self) -> NDArray[np.int64]:
        """[F] number of each expert within its layer."""
        return np.concatenate([np.arange(one) for one in self.experts])

    def by_layer(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Values [F] cut into those of each layer."""
        return np.split(values, np.cumsum(self.experts)[:-1])

    def __add__(self, other: Activity) -> Activity:
        """Both sets of prompts as one. InputError if they were not recorded alike."""
        if (self.experts, self.at) != (other.experts, other.at):
            raise InputError(
                f"{self.name!r} (at {self.at}) and {other.name!r} (at {other.at}) were not recorded alike; record both "
                "on one model, at the same tokens."
            )
        return Activity(
            name=f"{self.name} + {other.name}",
            digest=f"{self.digest}+{other.digest}",
            at=self.at,
            experts=self.experts,
            sample=self.sample + other.sample,
            squares=self.squares + other.squares,
            cubes=self.cubes + other.cubes,
            gates=None if self.gates is None or other.gates is None else self.gates + other.gates,
            tokens=self.tokens + other.tokens,
            binary=self.binary and other.binary,
        )


class Accumulator:
    """Sums up observations as they come, batch by batch."""

    def __init__(
        self, experts: Sequence[int], prompts: int, *, seed: int = 0, stream: int = 0, replicates: int = REPLICATES
    ) -> None:
        """For this many prompts in all. `seed` and `stream` choose the half-samples: another stream for each set."""
        size = sum(experts)
        self._experts = tuple(experts)
        self._signs = balanced_signs(prompts, replicates, seed, stream)
        self._n = self._tokens = 0
        self._total, self._squares, self._cubes, self._gates = np.zeros((4, size))
        self._signed = np.zeros((replicates, size), np.float32)
        self._balance = np.zeros(replicates, np.int64)
        self._has_gates, self._binary = True, True
        self._held: list[NDArray[np.float32]] = []

    def add(self, rates: NDArray[np.float32], gates: NDArray[np.float32] | None, tokens: Sequence[int]) -> None:
        """Observations [B, F] of B prompts, their gate weights [B, F], and how many tokens of each were looked at."""
        self._held.append(rates)
        if gates is None:
            self._has_gates = False
        else:
            self._gates += gates.sum(0, dtype=np.float64)
        self._tokens += sum(tokens)
        self._binary = self._binary and all(one == 1 for one in tokens)
        if sum(map(len, self._held)) >= _HELD:
            self._sum_up()

    def finish(self, name: str, digest: str, at: str) -> Activity:
        """All that was added."""
        self._sum_up()
        return Activity(
            name=name,
            digest=digest,
            at=at,
            experts=self._experts,
            sample=Sample(self._n, self._total, self._signed, self._balance),
            squares=self._squares,
            cubes=self._cubes,
            gates=self._gates if self._has_gates else None,
            tokens=self._tokens,
            binary=self._binary,
        )

    def _sum_up(self) -> None:
        if not self._held:
            return
        rates = np.concatenate(self._held)
        self._held.clear()
        signs = np.stack([next(self._signs) for _ in range(len(rates))])
        self._n += len(rates)
        self._total += rates.sum(0, dtype=np.float64)
        squared = rates * rates
        self._squares += squared.sum(0, dtype=np.float64)
        self._cubes += np.einsum("nf,nf->f", squared, rates, dtype=np.float64)
        self._signed += signs.T.astype(np.float32) @ rates
        self._balance += signs.sum(0, dtype=np.int64)
