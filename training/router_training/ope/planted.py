"""Worlds whose values are known exactly, to test evaluation on: questions of several types, and sources to ask.

At each step a policy asks a source or answers. The source that is right for the type finds what is needed, mostly; a
dear one finds it for any type, sometimes; an answer is right mostly if it was found, and rarely otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router_training.ope.bandit import Floats, Logged

ACTIONS = ("kb:a", "kb:b", "kb:c", "llm:dear", "answer")
_USD = np.array([0.02, 0.02, 0.04, 0.2, 0.0])
_DEAR, _ANSWER = 3, 4


@dataclass(frozen=True)
class PlantedWorld:
    """Policies are arrays [steps, types, 2, 5]: the probability of each action at a step, by what was found."""

    steps: int = 1
    """After which an episode is over. In a world of one step, the step itself earns what an answer after it would."""
    types: int = 9
    finds: float = 0.85
    dear_finds: float = 0.5
    right: float = 0.9
    guesses: float = 0.1
    varies: float = 0.08
    """By how much a question is easier or harder than its type, up or down: runs of one question are alike."""

    def behaviour(self, sharp: float = 0.3) -> Floats:
        """A poor policy: it overuses the dear source, and knows the right one a little."""
        return self._policy(0.9 - sharp, sharp, 0.1)

    def toward(self, share: float, *, sharp: float = 0.3) -> Floats:
        """The behaviour, with this share of its probability moved to the best choice."""
        return (1 - share) * self.behaviour(sharp) + share * self.best()

    def best(self) -> Floats:
        """Ask the right source until it has found something, then answer."""
        return self._policy(0.0, 1.0, 0.0)

    def wrong(self) -> Floats:
        """Never the right source, each other with the same probability."""
        policy = self._policy(0.0, 1.0, 0.0)
        flipped = 1 - policy
        flipped /= flipped.sum(axis=-1, keepdims=True)
        return flipped

    def _policy(self, dear: float, right: float, any_: float) -> Floats:
        policy = np.full((self.steps, self.types, 2, len(ACTIONS)), any_ / len(ACTIONS))
        policy[..., 0, _DEAR] += dear
        policy[..., 1, _ANSWER] += dear
        for kind in range(self.types):
            policy[:, kind, 0, kind % 3] += right
        policy[..., 1, _ANSWER] += right
        return policy

    def _finds(self) -> Floats:
        """[types, 5] the probability that an action finds what is needed."""
        table = np.full((self.types, len(ACTIONS)), 0.05)
        for kind in range(self.types):
            table[kind, kind % 3] = self.finds - 0.03 * (kind // 3)
        table[:, _DEAR], table[:, _ANSWER] = self.dear_finds, 0.0
        return table

    def truth(self, policy: Floats) -> float:
        """What an episode earns on average, computed backwards."""
        finds = self._finds()[:, None, :]
        answers = np.stack([np.full(self.types, self.guesses), np.full(self.types, self.right)], axis=1)
        later = np.zeros((self.types, 2)) if self.steps > 1 else answers
        for step in reversed(range(self.steps)):
            chance = finds if self.steps == 1 else np.maximum(finds, np.array([0.0, 1.0])[None, :, None])
            value = chance * later[:, 1:, None] + (1 - chance) * later[:, :1, None] - _USD
            if self.steps > 1:
                value[..., _ANSWER] = answers
            later = (policy[step] * value).sum(axis=-1)
        return float(later[:, 0].mean())

    def draw(self, policy: Floats, questions: int, seed: int, *, runs: int = 1) -> Logged:
        """A log of a policy: so many questions, each run so many times."""
        drawn = np.random.default_rng(seed)
        kind = np.repeat(drawn.integers(0, self.types, questions), runs)
        harder = np.repeat(drawn.choice([-self.varies, self.varies], questions), runs)
        episodes = questions * runs
        found, alive = np.zeros(episodes, dtype=np.int64), np.ones(episodes, dtype=bool)
        rows = []
        for step in range(self.steps):
            here = np.flatnonzero(alive)
            chances = policy[step, kind[here], found[here]]
            action = np.minimum((chances.cumsum(axis=1) < drawn.random((len(here), 1))).sum(axis=1), len(ACTIONS) - 1)
            state = kind[here] * 2 + found[here]
            luck = drawn.random(len(here)) < self._finds()[kind[here], action]
            found[here] |= luck.astype(np.int64)
            answered = (action == _ANSWER) | (self.steps == 1)
            chance = np.where(found[here] == 1, self.right, self.guesses) + harder[here]
            if self.steps == 1:
                chance = np.where(luck, self.right, self.guesses) + harder[here]
            reward = np.where(answered, drawn.random(len(here)) < chance, 0.0)
            usd = _USD[action] * np.where(answered & (self.steps > 1), 0.0, 1.0)
            rows.append((here, np.full(len(here), step), action, chances, reward - usd, usd, state))
            alive[here[answered]] = False
        episode, step_, action, chances, reward, usd, state = (
            np.concatenate(column) for column in zip(*rows, strict=True)
        )
        return Logged(
            actions=ACTIONS,
            action=action,
            propensity=chances[np.arange(len(action)), action],
            reward=reward,
            episode=episode,
            step=step_ + 1,
            question=tuple(f"q{n // runs}" for n in range(episodes)),
            behaviour=chances,
            features=np.eye(2 * self.types)[state],
            cost=usd,
            kinds={"type": tuple(f"type {n}" for n in kind)},
        )

    def target(self, policy: Floats, logged: Logged) -> Floats:
        """[n, 5] the policy's probabilities at the log's steps."""
        assert logged.features is not None
        state = logged.features.argmax(axis=1)
        chances: Floats = policy[logged.step - 1, state // 2, state % 2]
        return chances
