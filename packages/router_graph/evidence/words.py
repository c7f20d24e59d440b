"""Text → the words that carry meaning, and how much each tells apart."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterable

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
STOP_WORDS = frozenset(
    "a an and are as at be been but by did do does for from had has have he her his how if in into is it its no not of "
    "on or s she such that the their then there these they this to was were what when where which who whom whose why "
    "will with also i me my we our us you your".split()
)


def words(text: str) -> list[str]:
    """The words in order, in small letters, without accents, stop words and the ending of a plural."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return [_stem(word) for word in _WORD.findall(plain) if word not in STOP_WORDS]


def names(question: str) -> frozenset[str]:
    """The words of a question that are names or numbers, by how they begin; the first word begins the sentence."""
    return frozenset(
        word
        for place, part in enumerate(question.split())
        if (place and part[0].isupper()) or part[0].isdigit()
        for word in words(part)
    )


def rarity(wanted: Collection[str], texts: Iterable[Collection[str]]) -> dict[str, float]:
    """How much each wanted word tells one of these texts from the others: ln(1 + n / df), and 0 where all have it or
    none (inverse document frequency, Spärck Jones 1972)."""
    told = list(texts)
    counts = {word: sum(word in text for text in told) for word in wanted}
    n = len(told)
    return {word: math.log(1 + n / count) if 0 < count < n else 0.0 for word, count in counts.items()}


def _stem(word: str) -> str:
    if word[0].isdigit():
        number = word.replace(",", "")
        return number.rstrip("0").rstrip(".") if "." in number else number
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
