"""Routers over a table of recorded scores: which model to ask, when what each would have earned and cost is known.

Here a router is a choice of one model for each question, and nothing of the graph runs: these tables say how much there
is to be gained by choosing, and what choosing by next to nothing gains.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from router_graph.evaluation.comparing import Floats, Row, Sort, compared
from router_graph.evaluation.intervals import bootstrap
from router_graph.evaluation.readers.graded import Graded

FOLDS, NEIGHBOURS, WIDTH = 5, 40, 4096
Places = NDArray[np.int64]
"""[n] the place of the model that is chosen for each question."""
_WORD = re.compile(r"[a-z0-9]+")


def rows(table: Graded, *, seed: int = 0) -> list[Row]:
    """Each model, the simple routers, and the oracle; compared on score at equal cost in USD."""
    n, m = table.scores.shape
    price = table.usd.mean(axis=0)
    order = np.argsort(price, kind="stable")
    chosen: dict[str, tuple[Sort, Floats]] = {
        "knn, cross-fitted": ("policy", _one_hot(_neighbours(table, seed), m)),
        "cheapest": ("simple", _one_hot(np.full(n, order[0]), m)),
        "random": ("simple", np.full((n, m), 1 / m)),
        "prompt-length, cross-fitted": ("simple", _one_hot(_by_length(table, order, seed), m)),
    }
    for place in order:
        chosen[f"direct:{table.models[place]}"] = ("simple", _one_hot(np.full(n, place), m))
    best = table.scores - 1e-9 * table.usd / max(table.usd.max(), 1e-12)
    chosen["oracle"] = ("bound", _one_hot(best.argmax(axis=1), m))
    made = [
        _row(name, sort, {"score": (chance * table.scores).sum(1), "usd": (chance * table.usd).sum(1)}, n, seed)
        for name, (sort, chance) in chosen.items()
    ]
    return compared(made, "score", "usd", seed=seed)


def folds(n: int, seed: int) -> Places:
    """The fold of each question."""
    return np.random.default_rng(seed).permutation(n) % min(FOLDS, n)


def _neighbours(table: Graded, seed: int) -> Places:
    """The model that did best on the questions of the other folds that are most like it, by TF-IDF; of equals, and
    within a thousandth, the cheapest."""
    vectors = _vectors(table.questions)
    fold, chosen = folds(len(table.questions), seed), np.zeros(len(table.questions), dtype=int)
    price = table.usd.mean(axis=0)
    for one in np.unique(fold):
        asked, known = np.flatnonzero(fold == one), np.flatnonzero(fold != one)
        if not known.size:
            continue
        likeness = vectors[asked] @ vectors[known].T
        near = np.argsort(-likeness, axis=1, kind="stable")[:, :NEIGHBOURS]
        weights = np.maximum(np.take_along_axis(likeness, near, axis=1), 1e-6)[..., None]
        expected = (weights * table.scores[known][near]).sum(1) / weights.sum(1)
        chosen[asked] = (np.round(expected, 3) - 1e-6 * price / max(price.max(), 1e-12)).argmax(axis=1)
    return chosen


def _by_length(table: Graded, order: Places, seed: int) -> Places:
    """The model with the best mean for prompts longer than a bound that the other folds chose, else the cheapest."""
    lengths = np.array([len(one) for one in table.questions])
    fold, chosen = folds(len(lengths), seed), np.full(len(lengths), order[0])
    strongest = table.scores.mean(axis=0).argmax()
    for one in np.unique(fold):
        known = fold != one
        if not known.any():
            continue
        bounds = np.quantile(lengths[known], np.linspace(0, 1, 11))
        gain = table.scores[known][:, strongest] - table.scores[known][:, order[0]]
        worth = [gain[lengths[known] > bound].sum() for bound in bounds]
        chosen[(fold == one) & (lengths > bounds[int(np.argmax(worth))])] = strongest
    return chosen


def _vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """[n, WIDTH] hashed TF-IDF vectors of length 1."""
    table = np.zeros((len(texts), WIDTH), dtype=np.float32)
    for row, text in zip(table, texts, strict=True):
        for word in _WORD.findall(text.lower()):
            row[zlib.crc32(word.encode()) % WIDTH] += 1
    table = np.log1p(table)
    table *= np.log((1 + len(texts)) / (1 + (table > 0).sum(axis=0)))
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    return table


def _one_hot(chosen: Places, m: int) -> Floats:
    return np.eye(m)[chosen]


def _row(name: str, sort: Sort, values: Mapping[str, Floats], n: int, seed: int) -> Row:
    metrics = {metric: bootstrap(column, seed=seed) for metric, column in values.items()}
    return Row(name, sort, n, (seed,), metrics, values, {}, {}, {}, {}, {}, {}, 0)
