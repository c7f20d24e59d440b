"""What many models were recorded to score on the same questions, and what each call cost: a table to route over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router_graph.errors import EvaluationError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Graded:
    """n questions, m models; only questions that all models were asked."""

    questions: Sequence[str]
    models: Sequence[str]
    scores: Floats
    """[n, m], from 0 to 1, as the benchmark's own graders gave them."""
    usd: Floats
    """[n, m], of the call."""
    left_out: int
    """Questions that a model has no score or no cost for."""


def graded(rows: Sequence[tuple[str, Mapping[str, tuple[float, float]]]], source: str) -> Graded:
    """The table of (question, {model: (score, USD)}). Raises `EvaluationError` where no question has all models."""
    models = sorted({model for _, replies in rows for model in replies})
    whole = [(question, replies) for question, replies in rows if len(replies) == len(models)]
    if not whole or len(models) < 2:
        raise EvaluationError(
            f"{source} has no question that two models or more were scored on; there are {len(models)} models and "
            f"{len(rows):,} questions."
        )
    table = np.array([[replies[model] for model in models] for _, replies in whole], dtype=float)
    if not np.isfinite(table).all() or (table[..., 0] < 0).any() or (table[..., 0] > 1).any() or (table < 0).any():
        raise EvaluationError(f"{source} has a score that is not from 0 to 1, or a cost below 0.")
    questions = [question for question, _ in whole]
    return Graded(questions, models, table[..., 0], table[..., 1], len(rows) - len(whole))
