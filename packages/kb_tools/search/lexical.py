"""BM25 over words and pairs of neighbouring words, as sorted arrays that can be mapped from disk and merged.

Our own and not a library's, because none offers all of: additions without a rebuild, a load without work, pairs
with a weight of their own, and free k1 and b (SQLite's FTS5 fixes them; bm25s rebuilds). `docs/architecture.md` has the
figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kb_tools.search import analysis

K1 = 0.9
"""How soon a repeated word stops counting. With B, tuned on OTT-QA's train questions; also Anserini's default."""
B = 0.5
"""How much a long text is discounted: 0 not at all, 1 fully."""
PAIR_WEIGHT = 0.3
"""What a matching pair counts, relative to a word. Tuned on OTT-QA's train questions."""


@dataclass(frozen=True, slots=True)
class Postings:
    """For each term the rows that hold it. Term t stands in `rows[starts[t]:starts[t + 1]]`."""

    keys: NDArray[np.uint64]
    """Shape (t,), sorted: see `analysis.keys`."""
    starts: NDArray[np.int64]
    """Shape (t + 1,)."""
    rows: NDArray[np.int32]
    """Shape (p,)."""
    counts: NDArray[np.uint16]
    """Shape (p,): how often the term stands in the row."""
    lengths: NDArray[np.int32]
    """Shape (n,): words per row; 0 for a row that takes no part in lexical search."""

    @classmethod
    def build(cls, texts: Sequence[str]) -> Postings:
        """Index n texts; an empty text takes no part."""
        keys, rows, lengths = analysis.split_for_index(texts)
        return cls._from_entries(keys, rows, np.ones(len(keys), dtype=np.uint16), lengths)

    @classmethod
    def merge(cls, parts: Sequence[tuple[Postings, NDArray[np.bool_]]]) -> Postings:
        """One index of several, keeping of each only the rows that its mask (n,) says are alive."""
        keys, rows, counts, lengths, offset = [], [], [], [], 0
        for part, alive in parts:
            renumbered = np.cumsum(alive, dtype=np.int64) - 1 + offset
            kept = alive[part.rows]
            keys.append(np.repeat(part.keys, np.diff(part.starts))[kept])
            rows.append(renumbered[part.rows[kept]].astype(np.int32))
            counts.append(part.counts[kept])
            lengths.append(part.lengths[alive])
            offset += int(alive.sum())
        return cls._from_entries(
            np.concatenate(keys), np.concatenate(rows), np.concatenate(counts), np.concatenate(lengths)
        )

    @classmethod
    def _from_entries(
        cls,
        keys: NDArray[np.uint64],
        rows: NDArray[np.int32],
        counts: NDArray[np.uint16],
        lengths: NDArray[np.int32],
    ) -> Postings:
        # Entries come row by row, so a stable sort by key alone leaves the rows of each key in order.
        order = np.argsort(keys, kind="stable")
        keys, rows, counts = keys[order], rows[order], counts[order]
        new = np.ones(len(keys), dtype=bool)
        new[1:] = (keys[1:] != keys[:-1]) | (rows[1:] != rows[:-1])
        first = np.flatnonzero(new)
        summed = np.add.reduceat(counts.astype(np.int64), first) if len(first) else counts.astype(np.int64)
        keys, rows = keys[first], rows[first]
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.empty(0, np.int64)
        return cls(
            keys=keys[starts],
            starts=np.append(starts, len(keys)).astype(np.int64),
            rows=rows,
            counts=np.minimum(summed, np.iinfo(np.uint16).max).astype(np.uint16),
            lengths=lengths,
        )

    def find(self, key: np.uint64) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
        """The rows that hold a term, and how often."""
        at = int(np.searchsorted(self.keys, key))
        if at == len(self.keys) or self.keys[at] != key:
            return self.rows[:0], self.counts[:0]
        span = slice(int(self.starts[at]), int(self.starts[at + 1]))
        return self.rows[span], self.counts[span]


def bm25(query: str, parts: Sequence[tuple[Postings, NDArray[np.bool_]]]) -> NDArray[np.float32]:
    """BM25 of every row of several indexes, which count as one collection; shape (sum of n,).

    Robertson and Zaragoza (2009), eq. 3.15, with Lucene's idf, which is never negative. Dead rows count nowhere, so the
    scores do not depend on how the rows are spread over indexes.
    """
    total = sum(len(part.lengths) for part, _ in parts)
    scores = np.zeros(total, dtype=np.float32)
    lengths = np.concatenate([np.where(alive, part.lengths, 0) for part, alive in parts] or [scores])
    taking_part = int(np.count_nonzero(lengths))
    if not taking_part:
        return scores
    discount = (K1 * (1 - B + B * lengths / (lengths.sum() / taking_part))).astype(np.float32)
    words, pairs = analysis.query_keys(query)
    for keys, weight in ((words, 1.0), (pairs, PAIR_WEIGHT)):
        for key in keys:
            rows, counts = _gather(key, parts)
            if len(rows):
                idf = math.log(1 + (taking_part - len(rows) + 0.5) / (len(rows) + 0.5))
                scores[rows] += np.float32(weight * idf) * counts / (counts + discount[rows])
    return scores


def _gather(
    key: np.uint64, parts: Sequence[tuple[Postings, NDArray[np.bool_]]]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The living rows that hold a term, numbered through all indexes, and how often they hold it."""
    found_rows, found_counts, offset = [], [], 0
    for part, alive in parts:
        rows, counts = part.find(key)
        kept = alive[rows]
        found_rows.append(rows[kept].astype(np.int64) + offset)
        found_counts.append(counts[kept].astype(np.float32))
        offset += len(part.lengths)
    return np.concatenate(found_rows), np.concatenate(found_counts)
