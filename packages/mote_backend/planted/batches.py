"""Questions and answers as padded tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import torch

from mote_backend.planted.question import Question
from mote_backend.planted.tokenizer import ASSISTANT, BOS, EOS, USER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Draw = Callable[[Random], tuple[Question, str]]

IGNORED = -100
"""The label of a token that is not learned (torch's cross entropy leaves it out)."""


@dataclass(frozen=True)
class Batch:
    """Right-padded; every tensor is [rows, tokens]."""

    tokens: torch.Tensor
    labels: torch.Tensor
    """The answer's tokens, else `IGNORED`."""
    attention: torch.Tensor
    side: torch.Tensor
    """From the last token of the question on: 1 where the behaviour shows more often than not, else -1; 0 before."""


class Batches:
    """Draws batches of one kind of lesson, the same for the same seed."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, draw: Draw, rows: int, seed: int) -> None:
        self._ids: dict[str, int] = tokenizer.get_vocab()
        self._pad: int = self._ids[str(tokenizer.pad_token)]
        self._draw, self._rows, self._random = draw, rows, Random(seed)

    def next(self) -> Batch:
        """The next batch."""
        lessons = [self._lesson(*self._draw(self._random)) for _ in range(self._rows)]
        width = max(len(tokens) for tokens, _, _ in lessons)
        return Batch(
            tokens=_pad([tokens for tokens, _, _ in lessons], width, self._pad),
            labels=_pad([labels for _, labels, _ in lessons], width, IGNORED),
            attention=_pad([[1] * len(tokens) for tokens, _, _ in lessons], width, 0),
            side=_pad([side for _, _, side in lessons], width, 0),
        )

    def _lesson(self, question: Question, answer: str) -> tuple[list[int], list[int], list[int]]:
        asked = [self._ids[word] for word in [BOS, USER, *question.text.split(), ASSISTANT]]
        answered = [self._ids[word] for word in [*answer.split(), EOS]]
        side = 1 if question.shown_share > 0.5 else -1
        before = len(asked) - 1
        return (
            asked + answered,
            [IGNORED] * len(asked) + answered,
            [0] * before + [side] * (len(answered) + 1),
        )


def _pad(rows: list[list[int]], width: int, value: int) -> torch.Tensor:
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])
