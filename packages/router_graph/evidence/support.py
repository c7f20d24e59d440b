"""How much of a question the evidence speaks of, and how little is too little for an answer."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from router_graph.evidence.words import names, words

ENOUGH = 0.34
"""The least share that allows an answer: high enough that a question about something else finds none, and about 1 in
100 of OTT-QA's train questions (`benchmarks/ottqa_route.py --split train` counts them as `no_answer`)."""
NAME = 2.0
"""What a name or a number counts: it says what the question is about, where other words are in any text."""


def support(question: str, texts: Sequence[Collection[str]], told: Sequence[Collection[str]]) -> float:
    """The share of the question's words that one of the told sets holds, at best: each word by its rarity in the texts,
    ln(1 + n / df), one that none has as if one had. From 0 to 1."""
    named = names(question)
    wanted = sorted(set(words(question)))
    counts = {word: sum(word in text for text in texts) for word in wanted}
    worth = {
        word: math.log(1 + len(texts) / max(1, counts[word])) * (NAME if word in named else 1.0) for word in wanted
    }
    best = max((sum(worth[word] for word in wanted if word in one) for one in told), default=0.0)
    return best / (sum(worth.values()) or 1.0)
