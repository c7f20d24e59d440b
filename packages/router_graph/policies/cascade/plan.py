"""Which models to ask one after the other, and how sure to be to stop: chosen by what recorded replies were worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Models = frozenset[str]
"""Models whose replies are read together, whatever their order."""

ALWAYS = 1.1
"""A confidence that none has: the next model is asked in any case."""
_GRID = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, ALWAYS)


@dataclass(frozen=True, slots=True)
class Plan:
    """A cascade without its reader."""

    chain: tuple[str, ...]
    stops: tuple[float, ...]
    """The confidence that is enough after one reply, after two, …; one fewer than models."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a plan came to, for each question: arrays (questions,)."""

    right: Values
    confidence: Values
    usd: Values
    calls: Values


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What reading each set of replies came to, for each question: arrays (questions,)."""

    right: Mapping[Models, Values]
    """1 where the best candidate is a golden answer, else 0."""
    confidence: Mapping[Models, Values]
    usd: Mapping[str, Values]
    """What asking each model cost."""

    def at(self, questions: NDArray[np.intp]) -> Outcomes:
        """Those of these questions alone."""
        return Outcomes(
            {models: one[questions] for models, one in self.right.items()},
            {models: one[questions] for models, one in self.confidence.items()},
            {model: one[questions] for model, one in self.usd.items()},
        )

    def run(self, plan: Plan) -> Ran:
        """Ask, read, stop or go on."""
        first = frozenset(plan.chain[:1])
        right, confidence = self.right[first], self.confidence[first]
        usd, calls = self.usd[plan.chain[0]], np.ones(len(right))
        going = np.ones(len(right), dtype=bool)
        for n, stop in enumerate(plan.stops, 1):
            going = going & (confidence < stop)
            read = frozenset(plan.chain[: n + 1])
            right = np.where(going, self.right[read], right)
            confidence = np.where(going, self.confidence[read], confidence)
            usd = usd + going * self.usd[plan.chain[n]]
            calls = calls + going
        return Ran(right, confidence, usd, calls)


def plans(models: Iterable[str], *, most: int) -> list[Plan]:
    """Every chain of up to `most` models, with every stop of the grid."""
    known = sorted(models)
    return [
        Plan(chain, stops)
        for length in range(1, min(most, len(known)) + 1)
        for chain in permutations(known, length)
        for stops in product(_GRID, repeat=length - 1)
    ]


def best_plans(outcomes: Outcomes, among: Sequence[Plan], limits: Sequence[float]) -> list[Plan]:
    """For each limit, in USD per question, the best plan that costs no more in the mean; the cheapest if all do.

    The best is right most often, as counted and as its reader expects, half each: what it expects is the same quantity
    with less noise, and of thousands of plans the luckiest looks best. Of equals the cheaper, then the earlier.
    """
    ran = [outcomes.run(plan) for plan in among]
    usd = np.array([one.usd.mean() for one in ran])
    worth = np.array([(one.right.mean() + one.confidence.mean()) / 2 for one in ran])
    order = np.lexsort((np.arange(len(ran)), usd, -worth.round(9)))
    return [among[next((n for n in order if usd[n] <= limit), int(usd.argmin()))] for limit in limits]
