"""How good a short answer is: the metrics of SQuAD, with which answers are scored and, in training, rewarded."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WHOLE = frozenset({"yes", "no", "noanswer"})


def normalize_answer(text: str) -> str:
    """Small letters, without ASCII punctuation and articles, one space between words (SQuAD's evaluate-v1.1)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(prediction: str, answers: str | Sequence[str]) -> float:
    """1 if the prediction is one of the answers, both normalised; else 0."""
    said = normalize_answer(prediction)
    return float(any(said == normalize_answer(answer) for answer in _several(answers)))


def f1(prediction: str, answers: str | Sequence[str]) -> float:
    """The harmonic mean of precision and recall over normalised words, for the best of the answers; from 0 to 1.

    Where the one or the other is "yes", "no" or "noanswer", only the same counts (HotpotQA's hotpot_evaluate_v1): "no"
    is no half of "no idea". Two that are empty are the same.
    """
    return max(
        (_f1(normalize_answer(prediction), normalize_answer(answer)) for answer in _several(answers)), default=0.0
    )


def contains(text: str, answers: str | Sequence[str]) -> bool:
    """Whether one of the answers stands in the text, both normalised, as whole words: `2` is not in `1923`. An answer
    of which nothing is left is in no text."""
    whole = f" {normalize_answer(text)} "
    said = (normalize_answer(answer) for answer in _several(answers))
    return any(answer and f" {answer} " in whole for answer in said)


def _f1(said: str, right: str) -> float:
    if said == right:
        return 1.0
    if said in _WHOLE or right in _WHOLE:
        return 0.0
    ours, theirs = said.split(), right.split()
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def _several(answers: str | Sequence[str]) -> Sequence[str]:
    return [answers] if isinstance(answers, str) else answers
