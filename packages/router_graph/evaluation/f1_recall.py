"""R1-Router's "F1-Recall", to compare with its tables and for nothing else: an answer that echoes the question gains.

arXiv 2505.22095, `src/evaluate.py`: of the right answers the one with the best word F1 counts, and of it the recall
alone. Words are made as in the evaluation of VQA: small letters, numbers up to ten as digits, no "an" and "the" ("a"
stays), a punctuation mark beside a space is dropped and any other becomes a space.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGITS = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip
_ARTICLES = frozenset({"an", "the"})
_NUMBER_WITH_COMMA = re.compile(r"\d,\d")
_DROPPED = frozenset(",.?!:;'\"")


def f1_recall(prediction: str, answers: str | Sequence[str]) -> float:
    """The share of the best fitting answer's words that the prediction holds, from 0 to 1."""
    said, best = Counter(_words(prediction)), (0.0, 0.0)
    for answer in [answers] if isinstance(answers, str) else answers:
        right = Counter(_words(answer))
        common = sum((said & right).values())
        if common:
            precision, recall = common / said.total(), common / right.total()
            best = max(best, (2 * precision * recall / (precision + recall), recall))
    return best[1]


def _words(text: str) -> list[str]:
    text = text.replace("\n", " ").replace("\t", " ").strip()
    comma = _NUMBER_WITH_COMMA.search(text) is not None
    for mark in _PUNCTUATION:
        beside = f"{mark} " in text or f" {mark}" in text or comma
        text = text.replace(mark, "" if beside else " ")
    words = [_DIGITS.get(word, word) for word in text.lower().split()]
    kept = [word.strip("".join(_DROPPED)) for word in words if word not in _ARTICLES]
    return [word for word in kept if word]
