"""The gate before a trained policy is used: promote it, keep a policy without weights, or cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from numpy.typing import ArrayLike

from router_training.ope.bandit import Floats, Logged, check_target
from router_training.ope.estimate import CannotTell, pseudo_values
from router_training.ope.intervals import Interval, interval
from router_training.ope.rules import DEFAULT, Rules
from router_training.ope.support import failed, measure

Word = Literal["promote", "keep", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Rival:
    """A policy without weights, or a mixture of two, that costs no more than the candidate."""

    name: str
    """Such as "handbook", or "30% fan-out, 70% single" for a mixture that costs as much as the candidate."""
    policy: str
    """The policy itself; of a mixture, the one with the larger part."""
    ahead: Interval
    """What the candidate earns more."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """What to do with a candidate, and why."""

    word: Word
    keep: str
    """The policy to go on with; empty where the candidate is promoted or nobody can tell."""
    reason: str
    """A sentence, without its full stop."""
    rivals: tuple[Rival, ...]
    """The strongest first."""
    seed: int

    def __str__(self) -> str:
        word = f"keep {self.keep}" if self.word == "keep" else self.word
        return f"{word}: {self.reason}"


@dataclass(frozen=True, slots=True)
class _Values:
    """Pseudo-values [G] of what a policy earns and spends."""

    reward: Floats
    cost: Floats | None
    effective: float
    """Questions that it counts as."""


def promotion(
    logged: Logged,
    candidate: ArrayLike,
    simple: Mapping[str, ArrayLike],
    *,
    seed: int = 0,
    rules: Rules = DEFAULT,
) -> Promotion:
    """Promote only if the candidate beats every rival: the 95 % interval of each difference lies above 0.

    At equal cost: a rival is a simple policy that is not clearly dearer than the candidate, or a mixture (one of two
    policies by the toss of a coin, run by run) that costs as much. If all are dearer, the cheapest is the rival. Where
    the log has no cost, rewards are compared as they are. That the best rival is picked on the same log makes the gate
    stricter, never laxer.
    """
    values = _values(logged, candidate, seed, rules)
    if isinstance(values, CannotTell):
        return Promotion("cannot tell", "", f"of the candidate, {values.reason}", (), seed)
    known, unknown = {}, {}
    for name, target in simple.items():
        one = _values(logged, target, seed, rules)
        if isinstance(one, CannotTell):
            unknown[name] = one
        else:
            known[name] = one
    rivals = tuple(sorted(_rivals(values, known, seed), key=lambda one: one.ahead.low))
    if rivals and rivals[0].ahead.low <= 0:
        first = rivals[0]
        how = "is worse than" if first.ahead.high < 0 else "is not shown to beat"
        return Promotion(
            "keep", first.policy, f"the candidate {how} {first.name} ({_signed(first.ahead)})", rivals, seed
        )
    if unknown:
        name, why = next(iter(unknown.items()))
        return Promotion("cannot tell", "", f"of {name}, with which it is compared, {why.reason}", rivals, seed)
    if not rivals:
        return Promotion("cannot tell", "", "no policy without weights was given to compare with", (), seed)
    equal = " at equal cost" if values.cost is not None else ""
    reason = f"it beats {rivals[0].name}, the strongest policy without weights{equal} ({_signed(rivals[0].ahead)})"
    return Promotion("promote", "", reason, rivals, seed)


def _values(logged: Logged, target: ArrayLike, seed: int, rules: Rules) -> _Values | CannotTell:
    probabilities = check_target(logged, target)
    support = measure(logged, probabilities)
    if (fails := failed(support, logged, rules)) is not None:
        return CannotTell(*fails, support)
    cost = None
    if logged.cost is not None:
        cost = pseudo_values(logged.with_reward(logged.cost), probabilities, seed=seed)
    return _Values(pseudo_values(logged, probabilities, seed=seed), cost, support.effective)


def _rivals(candidate: _Values, simple: Mapping[str, _Values], seed: int) -> list[Rival]:
    rivals = []
    direct, dearer = [], []
    for name, one in simple.items():
        if candidate.cost is None or one.cost is None or interval(one.cost - candidate.cost, seed=seed).low <= 0:
            direct.append(name)
        else:
            dearer.append(name)
    if dearer and not direct:
        direct = [min(dearer, key=lambda name: _mean(simple[name].cost))]
    for name in direct:
        few = min(candidate.effective, simple[name].effective)
        rivals.append(Rival(name, name, interval(candidate.reward - simple[name].reward, seed=seed, effective=few)))
    for cheap in direct:
        for dear in dearer:
            mixed = _mixture(candidate, simple[cheap], simple[dear])
            if mixed is not None:
                part, ahead = mixed
                few = min(candidate.effective, simple[cheap].effective, simple[dear].effective)
                name = f"{100 * part:.0f}% {dear}, {100 * (1 - part):.0f}% {cheap}"
                rivals.append(Rival(name, dear if part > 0.5 else cheap, interval(ahead, seed=seed, effective=few)))
    return rivals


def _mixture(candidate: _Values, cheap: _Values, dear: _Values) -> tuple[float, Floats] | None:
    """The part of the dear policy with which a mixture costs what the candidate costs, and pseudo-values of what the
    candidate earns more, by the delta method; None where the cheap one costs as much already."""
    if candidate.cost is None or cheap.cost is None or dear.cost is None:
        return None
    spare, span = candidate.cost - cheap.cost, dear.cost - cheap.cost
    if spare.mean() <= 0 or span.mean() <= spare.mean():
        return None
    part = float(spare.mean() / span.mean())
    step = dear.reward - cheap.reward
    moved = (spare - part * span) / span.mean()
    ahead: Floats = candidate.reward - cheap.reward - part * step - step.mean() * moved
    return part, ahead


def _mean(cost: Floats | None) -> float:
    return 0.0 if cost is None else float(cost.mean())


def _signed(one: Interval) -> str:
    return f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
