"""Choose experts one after another by what switching them does: greedy search with a stop rule, no model in sight.

Greedy, because an expert's effect depends on which are switched already, and trying all sets is out of the question. A
ranking by activity alone does not do: most of the experts that two sets of prompts use differently have no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mote_backend.errors import InputError
from mote_backend.ftri.measure import Measure, Measured
from mote_backend.mask import Expert, ExpertMask

Stop = str
"""Why the search ended, a few words."""


@dataclass(frozen=True)
class Search:
    """What is aimed at, and when enough is enough."""

    less: bool = True
    """The behaviour is to go down; else up."""
    target: float = 0.05
    """Met when the behaviour is at most this, or at least 1 - this where it is to go up."""
    kl_weight: float = 2.0
    """What a nat of drift on harmless prompts costs, in units of the behaviour. Without it, the search finds experts
    that the model needs for everything."""
    min_gain: float = 0.02
    """An expert that improves the objective by less is not worth switching."""
    patience: int = 2
    """Experts in a row that may gain less, because two are sometimes needed together; they are dropped again if
    nothing comes of it."""
    budget: int = 10
    """Experts at most."""

    def __post_init__(self) -> None:
        if not 0 <= self.target < 1:
            raise InputError(f"target is {self.target:g}; it is a share from 0, and below 1.")
        if self.kl_weight < 0 or self.min_gain < 0 or self.patience < 0:
            raise InputError("kl_weight, min_gain and patience are 0 or more.")
        if self.budget < 1:
            raise InputError(f"budget is {self.budget}; it is the largest number of experts to switch, 1 or more.")

    def objective(self, measured: Measured) -> float:
        """What is made small: how far the behaviour is from where it shall be, plus weighted drift."""
        return self.gap(measured) + self.kl_weight * measured.drift

    def gap(self, measured: Measured) -> float:
        """How far the behaviour is from where it shall be, 0 to 1."""
        return measured.behaviour if self.less else 1 - measured.behaviour

    def met(self, measured: Measured) -> bool:
        """The target is met."""
        return self.gap(measured) <= self.target


@dataclass(frozen=True)
class Step:
    """One expert more."""

    expert: Expert
    measured: Measured
    """With it and all before."""
    objective: float
    tried: int
    """Candidates that it was the best of."""
    kept: bool = True
    """Part of the result; False if it gained too little or proved needless in the end."""


@dataclass(frozen=True)
class Found:
    """Where the search ended."""

    experts: tuple[Expert, ...]
    """In the order in which they were chosen; none if nothing helped."""
    start: Measured
    """Without a mask."""
    end: Measured
    steps: tuple[Step, ...]
    stop: Stop


def search(
    measure: Measure,
    candidates: Sequence[Expert],
    mask_of: Callable[[Sequence[Expert]], ExpertMask],
    allowed: Callable[[Sequence[Expert]], bool],
    options: Search,
    *,
    progress: Callable[[int, int], object] | None = None,
) -> Found:
    """Add the candidate that is best together with those chosen, until the target is met or nothing gains; then drop
    those that are not needed any more.

    `mask_of` makes the mask of some experts; `allowed` says whether so many can be switched. Of equals the first
    candidate wins, so that the result is the same every time.
    """
    start = best = measure([None])[0]
    chosen: list[Expert] = []
    steps: list[Step] = []
    kept = 0
    stop = f"the budget of {options.budget} experts is spent"
    if options.met(start):
        return Found((), start, start, (), "the target is met without a mask")
    while len(chosen) < options.budget:
        left = [one for one in candidates if one not in chosen and allowed([*chosen, one])]
        if not left:
            stop = "no candidate is left"
            break
        results = measure([mask_of([*chosen, one]) for one in left])
        objectives = [options.objective(one) for one in results]
        at = min(range(len(left)), key=objectives.__getitem__)
        chosen.append(left[at])
        steps.append(Step(left[at], results[at], objectives[at], len(left)))
        if progress is not None:
            progress(len(chosen), options.budget)
        if options.objective(best) - objectives[at] >= options.min_gain:
            best, kept = results[at], len(chosen)
        elif len(chosen) - kept > options.patience:
            stop = f"no further expert gains {options.min_gain:g}" if kept else f"no expert gains {options.min_gain:g}"
            break
        if options.met(best):
            stop = "the target is met"
            break
    chosen, best = _pruned(measure, chosen[:kept], best, mask_of, options)
    steps = [Step(one.expert, one.measured, one.objective, one.tried, one.expert in chosen) for one in steps]
    return Found(tuple(chosen), start, best, tuple(steps), stop)


def _pruned(
    measure: Measure,
    chosen: list[Expert],
    best: Measured,
    mask_of: Callable[[Sequence[Expert]], ExpertMask],
    options: Search,
) -> tuple[list[Expert], Measured]:
    """Without those whose loss costs less than `min_gain` and keeps a met target met: each needless one only hurts."""
    bar = options.objective(best) + options.min_gain
    while len(chosen) > 1:
        fewer = [[one for one in chosen if one != out] for out in chosen]
        results = measure([mask_of(one) for one in fewer])
        good = [
            at
            for at, one in enumerate(results)
            if options.objective(one) < bar and (options.met(one) or not options.met(best))
        ]
        if not good:
            break
        at = min(good, key=lambda one: options.objective(results[one]))
        chosen, best = fewer[at], results[at]
    return chosen, best
