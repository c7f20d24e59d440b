"""How alike two texts are, from −1 to 1: by an embedding of yours, or by their words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from router_graph.evidence import words

Similarity = Callable[[str, str], float]
_REMEMBERED = 100_000


class Embeddings(Protocol):
    """What embeds texts; LangChain's `Embeddings` are such."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text."""


def by_words(one: str, other: str) -> float:
    """The cosine of the counts of their stemmed words: for when there is no embedding. Two texts without words
    are alike."""
    ours, theirs = Counter(words(one)), Counter(words(other))
    if not ours or not theirs:
        return float(ours == theirs)
    dot = sum(count * theirs[word] for word, count in ours.items())
    return dot / sqrt(sum(n * n for n in ours.values()) * sum(n * n for n in theirs.values()))


def by_embedding(embed: Embeddings | Callable[[list[str]], Sequence[Sequence[float]]]) -> Similarity:
    """The cosine of two texts' embeddings, each computed once. `embed` is LangChain's Embeddings, or a function from a
    list of texts to as many vectors."""
    embed_all = embed if callable(embed) else embed.embed_documents
    known: dict[str, NDArray[np.float64]] = {}

    def similarity(one: str, other: str) -> float:
        if missing := [text for text in dict.fromkeys((one, other)) if text not in known]:
            if len(known) > _REMEMBERED:
                known.clear()
                missing = list(dict.fromkeys((one, other)))
            for text, vector in zip(missing, embed_all(missing), strict=True):
                array = np.asarray(vector, dtype=np.float64)
                known[text] = array / (np.linalg.norm(array) or 1.0)
        return float(known[one] @ known[other])

    return similarity
