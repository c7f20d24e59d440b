"""A question → the words that tell its kind: what it asks for, and its other words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from router_graph.evidence import words

Vector = Mapping[str, float]
"""Weights by word, of length 1; empty where no word is known."""

_ASKS = (
    ("when?", re.compile(r"\b(when|(what|which) (year|date|day|month))\b", re.I)),
    ("how many?", re.compile(r"\bhow (many|much|old|long|far|tall|high|big|large)\b", re.I)),
    ("who?", re.compile(r"\b(who|whom|whose)\b", re.I)),
    ("where?", re.compile(r"\bwhere\b", re.I)),
    ("why?", re.compile(r"\bwhy\b", re.I)),
    ("how?", re.compile(r"\bhow\b", re.I)),
    ("which?", re.compile(r"\b(what|which)\b", re.I)),
)


def terms(question: str) -> list[str]:
    """Its words, each once, and what it asks for, such as "who?"."""
    asks = next((name for name, pattern in _ASKS if pattern.search(question)), "no question word")
    return list(dict.fromkeys([asks, *words(question)]))


def rarities(questions: Sequence[str], *, at_least: int = 2) -> dict[str, float]:
    """ln(1 + n / df) of each word that `at_least` so many questions have (inverse document frequency, Spärck Jones
    1972): a word of one question alone tells no kind."""
    counts = Counter(word for question in questions for word in terms(question))
    return {
        word: round(math.log(1 + len(questions) / count), 6)
        for word, count in sorted(counts.items())
        if count >= at_least
    }


def vector(question: str, rarity: Mapping[str, float]) -> dict[str, float]:
    """The question as its known words, weighted by how rare they are, of length 1."""
    weights = {word: rarity[word] for word in terms(question) if word in rarity}
    length = math.sqrt(sum(one * one for one in weights.values()))
    return {word: one / length for word, one in weights.items()} if length else {}


def likeness(one: Vector, other: Vector) -> float:
    """The cosine of two vectors of length 1, from 0 to 1."""
    if len(other) < len(one):
        one, other = other, one
    return sum(weight * other.get(word, 0.0) for word, weight in one.items())
