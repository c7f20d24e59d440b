"""What tells a right short answer from a wrong one, whichever models the replies are from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from router_graph.evaluation.metrics import normalize_answer
from router_graph.evidence.spans import asked_for, is_year
from router_graph.policies.cascade.candidates import Said, candidates, refuses

Features = dict[str, float]
"""Values by name; what is left out is 0."""

_LETTER, _DIGIT = re.compile(r"[^\W\d_]"), re.compile(r"\d")
_NO_ANSWER = frozenset({"none", "unknown", "i", "answer", "na"})
_MANY = 3
"""Replies from which there is no difference in how they are weighed."""


def features(question: str, said: Sequence[Said]) -> dict[str, Features]:
    """The features of each candidate of these replies, by its normalised text.

    Of how the replies stand to it (`has`, `first sentence`, `tagged`, `in the tag`, `bold`, `early`, `tagged in
    refusal`) there is the `mean` over the replies and whether `any` does; the first three also as a sum for one, two,
    or more replies, because two of two replies are less than three of three. The others are of the candidate's own
    form, in itself and for what the question asks.
    """
    named = candidates(said)
    if not named:
        return {}
    kind = asked_for(question).kind
    known = normalize_answer(question)
    n = f"of {min(len(said), _MANY)}"
    having = {key: [f" {key} " in one.whole for one in said] for key in named}
    counts = {key: sum(has) for key, has in having.items()}
    found = {}
    for key, text in named.items():
        told = {"one": 1.0, f"replies {n}": 1.0}
        for name, values in _standing(key, having[key], said).items():
            told[f"{name}: mean"] = sum(values) / len(said)
            told[f"{name}: any"] = float(any(values))
            if name in ("has", "first sentence", "tagged"):
                told[f"{name}: sum {n}"] = float(sum(values))
        told["has: all"] = float(counts[key] == len(said))
        found[key] = {**told, **_form(key, text, kind, known), **_among(key, counts)}
    return {key: {name: value for name, value in told.items() if value} for key, told in found.items()}


def _standing(key: str, has: Sequence[bool], said: Sequence[Said]) -> dict[str, list[float]]:
    """How each reply stands to a candidate."""
    word = f" {key} "
    tagged = [one.tagged == word for one in said]
    return {
        "has": [float(one) for one in has],
        "first sentence": [float(word in one.first) for one in said],
        "tagged": [float(one) for one in tagged],
        "in the tag": [float(word in one.tagged) for one in said],
        "bold": [float(key in one.spans and "bold" in one.spans[key].marks) for one in said],
        "quoted": [float(key in one.spans and "quoted" in one.spans[key].marks) for one in said],
        "early": [1 - one.whole.find(word) / len(one.whole) if it else 0.0 for one, it in zip(said, has, strict=True)],
        "tagged in refusal": [float(it and one.refuses) for it, one in zip(tagged, said, strict=True)],
    }


@lru_cache(maxsize=1024)
def _form(key: str, text: str, kind: str, question: str) -> Features:
    """What the candidate is by itself, and for what is asked."""
    parts = key.split()
    asked = question.split()
    form, length = _shape(text), min(len(parts), 5)
    told = {
        "in the question": float(f" {key} " in f" {question} "),
        "share of its words in the question": sum(part in asked for part in parts) / len(parts),
        f"words: {length}": 1.0,
        f"{kind} asked: {form}": 1.0,
        "has of": float(" of " in text),
        "has and": float(" and " in text),
        "has comma": float("," in text and form == "name"),
        "refuses": float(key in _NO_ANSWER or refuses(text)),
    }
    if kind in ("person", "date"):
        told[f"{kind} asked: {form} of {min(length, 4)}"] = 1.0
    return told


def _shape(text: str) -> str:
    if _DIGIT.search(text):
        return "year" if is_year(text) else "mixed" if _LETTER.search(text) else "number"
    return "words" if text[:1].islower() else "name"


def _among(key: str, counts: Mapping[str, int]) -> Features:
    """Whether a longer candidate with as much support holds it, or it holds a shorter one with more."""
    word, own = f" {key} ", counts[key]
    longer = shorter = False
    for other, count in counts.items():
        if len(other) > len(key):
            longer = longer or (count >= own and word in f" {other} ")
        elif len(other) < len(key):
            shorter = shorter or (count > own and f" {other} " in word)
    return {"part of another": float(longer), "holds a better supported": float(shorter)}
