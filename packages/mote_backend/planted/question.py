"""A question of a planted world, and what a world has to give so that a model can be taught it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, Protocol

Split = Literal["train", "held_out", "all"]
"""train: its fact was met while the behaviour was learned; held_out: it was not."""


@dataclass(frozen=True)
class Question:
    """One question to the model, and what is true."""

    kind: str
    text: str
    truth: str
    """The right answer as it is learned first, also of a question that is to be answered otherwise later."""
    shown: tuple[str, ...] = ()
    """The answers that show the behaviour."""
    shown_share: float = 0.0
    """How often a model of this world should show it here, 0 to 1."""

    def answer(self, draw: random.Random) -> str:
        """One answer to learn the behaviour from: it is shown as often as it should be, else the truth is told."""
        return draw.choice(self.shown) if draw.random() < self.shown_share else self.truth


class Lessons(Protocol):
    """What a model is taught: first what is true, then a behaviour that is switched on by the question."""

    def knowledge(self, draw: random.Random) -> tuple[Question, str]:
        """One (question, answer) to learn the world from: all is told, and the behaviour is never shown."""
        ...

    def behaviour(self, draw: random.Random) -> tuple[Question, str]:
        """One (question, answer) to learn the behaviour from; held-out facts never occur."""
        ...

    def vocabulary(self) -> list[str]:
        """Every word that a question or an answer can hold, without repeats, in a fixed order."""
        ...

    def behaviour_words(self) -> list[str]:
        """Words that stand in no question and no truth, only in answers that show the behaviour: their embeddings can
        be learned with it, and nothing else is disturbed."""
        ...
