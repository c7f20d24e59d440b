"""One ranking of several: reciprocal rank fusion, and how rankings are cut and ordered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kb_tools.documents import Modality
from kb_tools.hits import Source

RRF_K = 2
"""How fast a rank loses worth. Cormack et al. (2009) use 60, for many rankings of like strength; with two of unlike
strength a small k keeps the top of the stronger one."""

WEIGHTS: Mapping[Modality, Mapping[Source, float]] = {
    "text": {"lexical": 1.0, "dense": 0.4},
    "table": {"lexical": 1.0, "dense": 1.0},
    "image": {"lexical": 1.0, "dense": 1.0, "visual": 1.0},
}
"""What each ranking counts. With RRF_K, the best on OTT-QA's train questions among those that lose to plain parts in no
row (`benchmarks/kb_tune.py`): a table has a vector for each row, a passage one for all that it says."""

DEPTH = 100
"""How deep each ranking is read."""


def fuse(rankings: Mapping[Source, Sequence[str]], weights: Mapping[Source, float]) -> list[tuple[str, float]]:
    """Reciprocal rank fusion: score(d) = Σ weight / (k + rank), rank from 1. Best first, ties by id."""
    scores: dict[str, float] = {}
    for source, ranking in sorted(rankings.items()):
        for rank, doc in enumerate(ranking, start=1):
            scores[doc] = scores.get(doc, 0.0) + weights[source] / (RRF_K + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def top(scores: NDArray[np.float32], names: Sequence[str], depth: int) -> list[tuple[int, float]]:
    """The best `depth` of n scores as (row, score), ties by name; rows of -inf are left out.

    Scores are compared after rounding to 6 decimals: the last bits of a matrix product depend on its shape.
    """
    n = len(scores)
    if n == 0 or depth < 1:
        return []
    if depth < n:
        floor = np.partition(scores, n - depth)[n - depth]
        # With all that tie at the edge; but where the edge is -inf, only what was found.
        rows = np.flatnonzero(scores >= floor - np.float32(1e-6) if floor > -np.inf else scores > -np.inf)
    else:
        rows = np.flatnonzero(scores > -np.inf)
    rounded = np.round(scores[rows].astype(np.float64), 6)
    order = np.argsort(-rounded, kind="stable")
    best = list(zip(rows[order].tolist(), rounded[order].tolist(), strict=True))
    if len(np.unique(rounded)) < len(rounded):
        best.sort(key=lambda item: (-item[1], names[item[0]]))
    return best[:depth]
