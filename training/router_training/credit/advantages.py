"""Advantages: how much better each sample did than the others of its group.

Arrays are one-dimensional, one entry per sample; `groups` holds an integer for each, equal within a group, in any
order. A reward that is NaN does not apply: it is left out of the mean and the spread, and its advantage is 0. A group
whose rewards are all the same has advantages of exactly 0, and so has a group of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from router_training.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
By = Literal["group", "batch", "none"]


@dataclass(frozen=True, slots=True)
class Convention:
    """How a difference to the mean is scaled: divided by (standard deviation + `eps`)."""

    by: By = "group"
    """The deviation of the group, of the batch, or nothing."""
    ddof: int = 1
    """1 for Bessel's correction, 0 without."""
    eps: float = 1e-4

    def __post_init__(self) -> None:
        if self.by not in ("group", "batch", "none") or self.ddof not in (0, 1) or not self.eps >= 0:
            raise ConfigError(
                "Advantages are scaled by 'group', 'batch' or 'none', with a ddof of 0 or 1 and an eps of 0 or more, "
                f"and not by {self}."
            )


TRL = Convention()
"""`GRPOTrainer` of TRL 1.16 with scale_rewards="group"."""
TRL_ASYNC = Convention(ddof=0, eps=1e-8)
"""`AsyncGRPOTrainer` of TRL 1.16."""
EASY_R1 = Convention(eps=1e-6)
"""EasyR1, on which R1-Router's Step-GRPO is built (`compute_grpo_outcome_advantage`)."""
DR_GRPO = Convention(by="none")
"""Dr. GRPO (arXiv 2503.20783), and TRL with scale_rewards="none": no division."""


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """What is known of each group, in the order of its number."""

    ids: Integers
    count: Integers
    """Samples whose reward applies."""
    mean: Floats
    std: Floats
    """With the ddof that was asked for; 0 for a group of one."""
    is_constant: NDArray[np.bool_]
    """All rewards that apply are the same: nothing can be learned from it."""


def facts_of(rewards: ArrayLike, groups: ArrayLike, *, ddof: int = 1) -> tuple[GroupFacts, Integers]:
    """The groups, and for each sample the place of its group among them.

    Raises `DataError` where the arrays do not go together.
    """
    values, numbers = _arrays(rewards, groups)
    ids, place = np.unique(numbers, return_inverse=True)
    applies = ~np.isnan(values)
    clean = np.where(applies, values, 0.0)
    count = np.bincount(place, weights=applies, minlength=len(ids)).astype(np.int64)
    mean = np.bincount(place, weights=clean, minlength=len(ids)) / np.maximum(count, 1)
    off = np.where(applies, values - mean[place], 0.0)
    squares = np.bincount(place, weights=off * off, minlength=len(ids))
    std = np.sqrt(squares / np.maximum(count - ddof, 1))
    low = np.full(len(ids), np.inf)
    high = np.full(len(ids), -np.inf)
    np.minimum.at(low, place[applies], values[applies])
    np.maximum.at(high, place[applies], values[applies])
    return GroupFacts(ids, count, mean, std, low >= high), place


def group_relative(rewards: ArrayLike, groups: ArrayLike, convention: Convention = TRL) -> Floats:
    """(r - mean of the group) / (std + eps), GRPO's advantage (arXiv 2402.03300, §4.1.2).

    Raises `DataError` where the arrays do not go together.
    """
    facts, place = facts_of(rewards, groups, ddof=convention.ddof)
    values = np.asarray(rewards, dtype=np.float64)
    advantages = values - facts.mean[place]
    if convention.by == "group":
        advantages /= (facts.std + convention.eps)[place]
    elif convention.by == "batch":
        advantages /= _std(values[~np.isnan(values)], convention.ddof) + convention.eps
    return _cleaned(advantages, facts, place)


def leave_one_out(rewards: ArrayLike, groups: ArrayLike) -> Floats:
    """r - mean of the others of the group, RLOO's advantage (arXiv 2402.14740).

    Raises `DataError` where the arrays do not go together.
    """
    facts, place = facts_of(rewards, groups)
    values, count = np.asarray(rewards, dtype=np.float64), facts.count[place]
    # r - (sum - r)/(n - 1) = (r - mean) · n/(n - 1)
    advantages = (values - facts.mean[place]) * (count / np.maximum(count - 1, 1))
    return _cleaned(advantages, facts, place)


def normalised_parts(
    parts: ArrayLike,
    groups: ArrayLike,
    weights: ArrayLike,
    convention: Convention = TRL,
    *,
    over_batch: bool = True,
) -> Floats:
    """The parts of a reward, each made relative in its group, then weighed and summed: GDPO (arXiv 2601.05242).

    So a part of small range is not drowned by one of large range. `parts` is (samples, parts); a part that is NaN does
    not apply. `over_batch` makes the sums relative in the batch once more, as the paper does and TRL with
    multi_objective_aggregation="normalize_then_sum"; where parts cancel each other out it blows up what is left.
    Raises `DataError` where the arrays do not go together.
    """
    table, share = np.asarray(parts, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if table.ndim != 2 or share.shape != (table.shape[1],):
        raise DataError(f"Parts are a table with one weight for each column, and not {table.shape} with {share.shape}.")
    each = Convention("group", convention.ddof, convention.eps)
    total = np.zeros(len(table))
    for column, weight in zip(table.T, share, strict=True):
        total += weight * group_relative(column, groups, each)
    if not over_batch:
        return total
    total[np.isnan(table).all(axis=1)] = np.nan
    return group_relative(total, np.zeros(len(total), dtype=np.int64), each)


def of_episodes(rewards: ArrayLike, groups: ArrayLike, run_of_step: ArrayLike, convention: Convention = TRL) -> Floats:
    """Each step has its run's advantage.

    `rewards` and `groups` are of runs; `run_of_step` is each step's place among them. Raises `DataError` where the
    arrays do not go together.
    """
    advantages = group_relative(rewards, groups, convention)
    place: Integers = np.asarray(run_of_step, dtype=np.int64)
    if ((place < 0) | (place >= len(advantages))).any():
        raise DataError(f"A step names a run that is not there; the {len(advantages)} runs count from 0.")
    steps: Floats = advantages[place]
    return steps


def mixed(of_episode: Floats, of_step: Floats, *, weight: float = 1.0) -> Floats:
    """A_episode + weight · A_step, for each step (GiGPO, arXiv 2505.10978)."""
    if of_episode.shape != of_step.shape:
        raise DataError(f"There are {len(of_episode)} advantages of episodes and {len(of_step)} of steps.")
    return of_episode + weight * of_step


@dataclass(frozen=True, slots=True)
class Kept:
    """Which samples are worth learning from, and how many groups are not."""

    mask: NDArray[np.bool_]
    groups: int
    alone: int
    """Groups with one sample whose reward applies, or none."""
    constant: int
    """Groups of several whose rewards are all the same."""
    narrow: int
    """Groups whose rewards differ by less than was asked for."""

    @property
    def used(self) -> int:
        """Groups that are kept."""
        return self.groups - self.alone - self.constant - self.narrow

    def check(self) -> None:
        """Raise `DataError` where nothing is left: no state has two different rewards."""
        if self.used == 0:
            raise DataError(
                f"No state has two different rewards, so that nothing can be learned from them: {self} Record the same "
                "questions several times, or group the steps otherwise."
            )

    def __str__(self) -> str:
        return (
            f"{self.used} of {self.groups} groups are used; of the others {self.alone} have one sample, "
            f"{self.constant} one reward, {self.narrow} too little spread."
        )


def spread(rewards: ArrayLike, groups: ArrayLike, *, least_std: float = 0.0) -> Kept:
    """Drop what teaches nothing: groups of one, groups of one reward, and those with a std (ddof 1) below `least_std`.

    Raises `DataError` where the arrays do not go together.
    """
    facts, place = facts_of(rewards, groups)
    alone = facts.count < 2
    constant = ~alone & facts.is_constant
    narrow = ~alone & ~constant & (facts.std < least_std)
    values = np.asarray(rewards, dtype=np.float64)
    return Kept(
        mask=~(alone | constant | narrow)[place] & ~np.isnan(values),
        groups=len(facts.ids),
        alone=int(alone.sum()),
        constant=int(constant.sum()),
        narrow=int(narrow.sum()),
    )


def _arrays(rewards: ArrayLike, groups: ArrayLike) -> tuple[Floats, NDArray[np.generic]]:
    values, numbers = np.asarray(rewards, dtype=np.float64), np.asarray(groups)
    if values.ndim != 1 or values.shape != numbers.shape:
        raise DataError(f"Each sample has one reward and one group, and not {values.shape} and {numbers.shape}.")
    if np.isinf(values).any():
        raise DataError(
            f"A reward is a finite number, or NaN where none applies; sample {np.isinf(values).argmax()} "
            "has an infinite one."
        )
    return values, numbers


def _cleaned(advantages: Floats, facts: GroupFacts, place: Integers) -> Floats:
    """0 where nothing is known: rounding must not make an advantage out of equal rewards."""
    advantages[facts.is_constant[place] | np.isnan(advantages)] = 0.0
    return advantages


def _std(values: Floats, ddof: int) -> float:
    return float(values.std(ddof=ddof)) if len(values) > 1 else 0.0
