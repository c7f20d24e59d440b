"""How good a ranking of documents is. Where several ids are equally right, the first of them that is found counts."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence


def recall(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """The share of the relevant documents among the first k."""
    return len(set(ranking[:k]) & set(relevant)) / len(set(relevant)) if relevant else 0.0


def hit(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Whether any relevant document is among the first k."""
    return float(any(one in relevant for one in ranking[:k]))


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str], k: int | None = None) -> float:
    """1 / rank of the first relevant document; 0 where none is among the first k."""
    for rank, one in enumerate(ranking[:k], start=1):
        if one in relevant:
            return 1 / rank
    return 0.0


def ndcg(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Normalised discounted cumulative gain at k, each relevant document worth 1 (Järvelin and Kekäläinen, 2002)."""
    gain = sum(1 / math.log2(rank + 1) for rank, one in enumerate(ranking[:k], start=1) if one in relevant)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(set(relevant))) + 1))
    return gain / best if best else 0.0
