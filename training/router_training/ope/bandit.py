"""What off-policy evaluation reads: logged routing actions with their propensities, rewards and questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from router_training.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CLOSE = 1e-6
"""Probabilities that differ by less are the same."""


@dataclass(frozen=True, eq=False)
class Logged:
    """n steps of E episodes on G questions, over A actions. A bandit is episodes of one step.

    Raises `DataError` for arrays that do not belong together. The steps of an episode may stand anywhere.
    """

    actions: tuple[str, ...]
    """The names of the A actions."""
    action: Integers
    """[n] what was done, as its place in `actions`."""
    propensity: Floats
    """[n] the probability with which it was done, above 0."""
    reward: Floats
    """[n] in any unit; what an episode earns is their sum, without discount."""
    episode: Integers
    """[n] which episode a step belongs to: 0 to E - 1."""
    step: Integers
    """[n] its order in the episode; numbers may be left out."""
    question: tuple[str, ...]
    """[E] what each episode was asked. Questions are the units that are resampled: runs of one question are alike."""
    behaviour: Floats | None = None
    """[n, A] the probability of every action when it was logged; rows of NaN where only `propensity` is known."""
    features: Floats | None = None
    """[n, d] what was known at the step, for the model of rewards; columns are scaled to -1 … 1 by their largest."""
    cost: Floats | None = None
    """[n] US dollars that the sources took. What a policy takes to decide is not in it: another takes another."""
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """[E] each: a name (such as "kind") to the subgroup of each episode."""

    def __post_init__(self) -> None:
        n, several = len(self.action), len(self.actions)
        shapes: dict[str, tuple[NDArray[np.generic] | None, tuple[int, ...]]] = {
            "action": (self.action, (n,)),
            "propensity": (self.propensity, (n,)),
            "reward": (self.reward, (n,)),
            "episode": (self.episode, (n,)),
            "step": (self.step, (n,)),
            "behaviour": (self.behaviour, (n, several)),
            "cost": (self.cost, (n,)),
        }
        for name, (array, shape) in shapes.items():
            if array is not None and array.shape != shape:
                raise DataError(f"{name} has the shape {array.shape}; for {n} steps and {several} actions: {shape}.")
        if not n:
            raise DataError("The log has no step; evaluation needs runs of the graph, with propensities.")
        if self.features is not None and (self.features.ndim != 2 or len(self.features) != n):
            raise DataError(f"features has the shape {self.features.shape}; it is [{n}, d].")
        for name, values in (("reward", self.reward), ("cost", self.cost), ("features", self.features)):
            if values is not None and not np.isfinite(values).all():
                raise DataError(f"{name} has values that are no finite numbers; leave such runs out.")
        if not ((self.propensity > 0) & (self.propensity <= 1 + CLOSE)).all():
            raise DataError("A propensity is not above 0 and at most 1; it is the probability of the action taken.")
        if self.action.min() < 0 or self.action.max() >= several:
            raise DataError(f"An action is not from 0 to {several - 1}; there are {several} actions.")
        if not np.array_equal(np.unique(self.episode), np.arange(len(self.question))):
            raise DataError(f"The episodes are not 0 to {len(self.question) - 1}, each with at least one step.")
        for name, groups in self.kinds.items():
            if len(groups) != len(self.question):
                raise DataError(f"kinds[{name!r}] has {len(groups)} entries for {len(self.question)} episodes.")

    @property
    def episodes(self) -> int:
        """E."""
        return len(self.question)

    @property
    def questions(self) -> int:
        """G."""
        return int(self.cluster.max()) + 1

    @cached_property
    def cluster(self) -> Integers:
        """[E] the question of each episode as a number, 0 to G - 1."""
        return np.unique(np.asarray(self.question, dtype=object), return_inverse=True)[1].astype(np.int64)

    @cached_property
    def place(self) -> Integers:
        """[n] how many steps of its episode come before a step."""
        order = np.lexsort((self.step, self.episode))
        sorted_episodes = self.episode[order]
        first = np.searchsorted(sorted_episodes, sorted_episodes, side="left")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order)) - first
        if len(np.unique(np.stack([self.episode, self.step]), axis=1).T) != len(order):
            raise DataError("Two steps of an episode have the same number; each has its own.")
        return place

    @property
    def horizon(self) -> int:
        """T, the steps of the longest episode."""
        return int(self.place.max()) + 1

    def grid(self, values: Floats, fill: float = 0.0) -> Floats:
        """[E, T] the steps' values [n] by episode and place, `fill` where an episode is over."""
        laid = np.full((self.episodes, self.horizon), fill)
        laid[self.episode, self.place] = values
        return laid

    def by_question(self, values: Floats) -> Floats:
        """[G, …] the sums of the episodes' values [E, …]."""
        sums = np.zeros((self.questions, *values.shape[1:]))
        np.add.at(sums, self.cluster, values)
        return sums

    def taken(self, values: Floats) -> Floats:
        """[n] of values [n, A], those of the actions taken."""
        picked: Floats = values[np.arange(len(self.action)), self.action]
        return picked

    def with_reward(self, reward: Floats) -> Logged:
        """The same log with other rewards [n]; `with_reward(log.cost)` evaluates what a policy spends."""
        return replace(self, reward=reward)

    def only(self, episodes: NDArray[np.bool_], target: Floats) -> tuple[Logged, Floats]:
        """The part of the log, and of a target [n, A], whose episodes [E] are True."""
        rows = episodes[self.episode]
        renumbered = np.cumsum(episodes) - 1
        keep = np.flatnonzero(episodes)
        part = Logged(
            actions=self.actions,
            action=self.action[rows],
            propensity=self.propensity[rows],
            reward=self.reward[rows],
            episode=renumbered[self.episode[rows]].astype(np.int64),
            step=self.step[rows],
            question=tuple(self.question[n] for n in keep),
            behaviour=None if self.behaviour is None else self.behaviour[rows],
            features=None if self.features is None else self.features[rows],
            cost=None if self.cost is None else self.cost[rows],
            kinds={name: tuple(groups[n] for n in keep) for name, groups in self.kinds.items()},
        )
        return part, target[rows]


def check_target(logged: Logged, target: ArrayLike) -> Floats:
    """The target's probabilities [n, A]; `DataError` unless each row is a distribution over the log's actions."""
    array = np.asarray(target, dtype=np.float64)
    shape = (len(logged.action), len(logged.actions))
    if array.shape != shape:
        raise DataError(f"The target has the shape {array.shape}; for this log it is {shape}: a row for each step.")
    if not (array >= -CLOSE).all() or not np.allclose(array.sum(axis=1), 1, atol=1e-4):
        raise DataError("The target's rows are not probabilities: none may be negative, and each row adds up to 1.")
    return array


def bandit(
    actions: Sequence[str],
    action: ArrayLike,
    propensity: ArrayLike,
    reward: ArrayLike,
    *,
    question: Sequence[object] | None = None,
    behaviour: ArrayLike | None = None,
    features: ArrayLike | None = None,
    cost: ArrayLike | None = None,
    kinds: Mapping[str, Sequence[str]] | None = None,
) -> Logged:
    """A log of single steps: each of the n decisions is an episode; without `question`, each is of its own question."""
    done = np.asarray(action, dtype=np.int64)
    n = len(done)
    return Logged(
        actions=tuple(actions),
        action=done,
        propensity=np.asarray(propensity, dtype=np.float64),
        reward=np.asarray(reward, dtype=np.float64),
        episode=np.arange(n),
        step=np.ones(n, dtype=np.int64),
        question=tuple(str(one) for one in (range(n) if question is None else question)),
        behaviour=None if behaviour is None else np.asarray(behaviour, dtype=np.float64),
        features=None if features is None else np.asarray(features, dtype=np.float64),
        cost=None if cost is None else np.asarray(cost, dtype=np.float64),
        kinds={name: tuple(groups) for name, groups in (kinds or {}).items()},
    )


def one_hot(keys: Sequence[object]) -> Floats:
    """[n, number of different keys] features from state keys."""
    places = np.unique(np.asarray([str(key) for key in keys], dtype=object), return_inverse=True)[1]
    return np.eye(int(places.max()) + 1)[places]
