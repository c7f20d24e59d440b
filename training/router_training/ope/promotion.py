"""The gate before a trained policy is used: promote it, keep a policy without weights, or cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from router_training.errors import ConfigError
from router_training.ope.bandit import Floats, Logged, check_target
from router_training.ope.estimate import CannotTell, pseudo_values
from router_training.ope.intervals import Interval, interval
from router_training.ope.rules import DEFAULT, Rules
from router_training.ope.support import failed, measure

Word = Literal["promote", "keep", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Values:
    """What a policy earns and spends, question by question: measured, or pseudo-values of an estimate."""

    reward: Floats
    """[G]."""
    cost: Floats | None
    """[G] US dollars."""
    effective: float | None = None
    """Questions that it counts as; all, if None."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A policy without weights, or a mixture of two that costs as much as the candidate."""

    name: str
    """Such as "handbook", or "30% fan-out, 70% single" for a mixture."""
    policy: str
    """The policy itself; of a mixture, the one with the larger part."""
    ahead: Interval
    """What the candidate earns more; with `worth`, in USD and less what it costs more."""
    saves: float | None = None
    """The part of the rival's cost that the candidate saves; None where that is not needed to beat it."""
    is_beaten: bool = False


@dataclass(frozen=True, slots=True)
class Promotion:
    """What to do with a candidate, and why."""

    word: Word
    keep: str
    """The policy to go on with; empty where the candidate is promoted or nobody can tell."""
    reason: str
    """A sentence about the candidate, which is "it"; without its full stop."""
    rivals: tuple[Rival, ...]
    """The strongest first."""
    seed: int

    def __str__(self) -> str:
        word = f"keep {self.keep}" if self.word == "keep" else self.word
        return f"{word}: {self.reason}"


def promotion(
    logged: Logged,
    candidate: ArrayLike,
    simple: Mapping[str, ArrayLike],
    *,
    seed: int = 0,
    rules: Rules = DEFAULT,
    worth: float | None = None,
) -> Promotion:
    """`gate` by an estimate from a log; "cannot tell" where the log does not say enough of one of the policies."""
    values = _values(logged, candidate, seed, rules)
    if isinstance(values, CannotTell):
        return Promotion("cannot tell", "", f"the log cannot judge the candidate: {values.reason}", (), seed)
    known, unknown = {}, {}
    for name, target in simple.items():
        one = _values(logged, target, seed, rules)
        if isinstance(one, CannotTell):
            unknown[name] = one
        else:
            known[name] = one
    spread = float(logged.grid(logged.reward).sum(axis=1).std())
    found = gate(values, known, spread=spread, seed=seed, rules=rules, worth=worth)
    if unknown and found.word != "keep":
        name, why = next(iter(unknown.items()))
        return Promotion(
            "cannot tell",
            "",
            f"the log cannot judge {name}, with which it is compared: {why.reason}",
            found.rivals,
            seed,
        )
    return found


def gate(
    candidate: Values,
    simple: Mapping[str, Values],
    *,
    spread: float,
    seed: int = 0,
    rules: Rules = DEFAULT,
    worth: float | None = None,
) -> Promotion:
    """Promote only if the candidate beats every rival at equal cost: each test is one-sided, at 2.5 %.

    - A rival is a simple policy that is not clearly dearer than the candidate, or a mixture (one of two policies by the
      toss of a coin, run by run) that costs as much. What the candidate earns more must lie above 0 with its interval.
    - If all are dearer, each is a rival. It is beaten also by a candidate that is as good, to within `rules.margin` of
      `spread` (the standard deviation of what runs earn), and clearly saves `rules.saving` of its cost.
    - If the candidate costs more than `rules.dearer` above any simple policy that is worth its price, no cost is equal:
      it is not promoted, however good it is. (Worth its price: no cheaper one earns as much.)
    - With `worth`, the USD that a reward of 1 is worth, all that is replaced by one comparison with each policy: of
      what is earned, times `worth`, less what is spent.

    Without costs, rewards are compared as they are. That the best rival is picked on the same questions makes the gate
    stricter, never laxer: the candidate must beat all of them. Raises `ConfigError` for a `worth` that is none.
    """
    if worth is not None:
        if not (np.isfinite(worth) and worth > 0):
            raise ConfigError(f"worth is {worth}; it is what a reward of 1 is worth in USD, above 0.")
        candidate, simple = _net(candidate, worth), {name: _net(one, worth) for name, one in simple.items()}
    if not simple:
        return Promotion("cannot tell", "", "it was compared with no policy without weights", (), seed)
    rivals = tuple(
        sorted(_rivals(candidate, simple, spread, seed, rules), key=lambda one: (one.is_beaten, one.ahead.low))
    )
    first = rivals[0]
    lead = _signed(first.ahead, "USD" if worth is not None else "")
    if not first.is_beaten:
        how = "is worse than" if first.ahead.high < 0 else "is not shown to beat"
        return Promotion("keep", first.policy, f"it {how} {first.name} ({lead})", rivals, seed)
    if (above := _above(candidate, simple, rules)) is not None:
        return Promotion("keep", first.policy, f"it earns more than {first.name} ({lead}), but {above}", rivals, seed)
    others = ", the strongest that it was compared with" if len(rivals) > 1 else ""
    if worth is not None:
        return Promotion("promote", "", f"it beats {first.name} by more than it costs{others} ({lead})", rivals, seed)
    if first.saves is not None:
        reason = f"it is as good as {first.name}{others} ({lead}), and saves {100 * first.saves:.0f}% of its cost"
        return Promotion("promote", "", reason, rivals, seed)
    equal = " at equal cost" if candidate.cost is not None else ""
    return Promotion("promote", "", f"it beats {first.name}{equal}{others} ({lead})", rivals, seed)


def _values(logged: Logged, target: ArrayLike, seed: int, rules: Rules) -> Values | CannotTell:
    probabilities = check_target(logged, target)
    support = measure(logged, probabilities)
    if (fails := failed(support, logged, rules)) is not None:
        return CannotTell(*fails, support)
    cost = None
    if logged.cost is not None:
        cost = pseudo_values(logged.with_reward(logged.cost), probabilities, seed=seed)
    return Values(pseudo_values(logged, probabilities, seed=seed), cost, support.effective)


def _net(one: Values, worth: float) -> Values:
    return Values(worth * one.reward - (0.0 if one.cost is None else one.cost), None, one.effective)


def _rivals(candidate: Values, simple: Mapping[str, Values], spread: float, seed: int, rules: Rules) -> list[Rival]:
    dearer = [name for name, one in simple.items() if _less(candidate, one, seed)]
    direct = [name for name in simple if name not in dearer]
    rivals = []
    for name in direct or dearer:
        other = simple[name]
        ahead = interval(candidate.reward - other.reward, seed=seed, effective=_fewest(candidate, other))
        rival = Rival(name, name, ahead, is_beaten=ahead.low > 0)
        is_as_good = ahead.low > -rules.margin * spread
        if not rival.is_beaten and not direct and is_as_good and _less(candidate, other, seed, 1 - rules.saving):
            rival = replace(rival, saves=1 - _mean(candidate) / _mean(other), is_beaten=True)
        rivals.append(rival)
    for cheap in direct:
        for dear in dearer:
            mixed = _mixture(candidate, simple[cheap], simple[dear])
            if mixed is not None:
                part, lead = mixed
                few = _fewest(candidate, simple[cheap], simple[dear])
                ahead = interval(lead, seed=seed, effective=few)
                name = f"{100 * part:.0f}% {dear}, {100 * (1 - part):.0f}% {cheap}"
                rivals.append(Rival(name, dear if part > 0.5 else cheap, ahead, is_beaten=ahead.low > 0))
    return rivals


def _less(one: Values, other: Values, seed: int, part: float = 1.0) -> bool:
    """Whether `one` clearly costs less than this part of the other."""
    if one.cost is None or other.cost is None:
        return False
    few = _fewest(one, other)
    return interval(part * other.cost - one.cost, seed=seed, effective=few).low > 0


def _above(candidate: Values, simple: Mapping[str, Values], rules: Rules) -> str | None:
    """Why the candidate's cost is beyond what can be compared, if it is."""
    priced = {name: one for name, one in simple.items() if one.cost is not None}
    if candidate.cost is None or not priced:
        return None
    worth_it = {
        name: one
        for name, one in priced.items()
        if not any(_mean(other) < _mean(one) and other.reward.mean() >= one.reward.mean() for other in priced.values())
    }
    name, dearest = max(worth_it.items(), key=lambda item: _mean(item[1]))
    mine, theirs = _mean(candidate), _mean(dearest)
    if mine <= (1 + rules.dearer) * theirs or mine <= _NOTHING_USD:
        return None
    return (
        f"it costs ${mine:.3g} a run, and {name} ${theirs:.3g}: that is not equal cost; compare with what spends as "
        "much, or say what a reward of 1 is worth to you, with --worth"
    )


_NOTHING_USD = 1e-9


def _mixture(candidate: Values, cheap: Values, dear: Values) -> tuple[float, Floats] | None:
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


def _fewest(*several: Values) -> float | None:
    told = [one.effective for one in several if one.effective is not None]
    return min(told, default=None)


def _mean(one: Values) -> float:
    return 0.0 if one.cost is None else float(one.cost.mean())


def _signed(one: Interval, unit: str = "") -> str:
    return f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]{f' {unit}' if unit else ''}"
