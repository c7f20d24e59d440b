"""Which language a reply is written in, by script and by the commonest small words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from mote_backend.errors import InputError
from mote_backend.judging.judges import digest
from mote_backend.judging.reply_text import spoken
from mote_backend.judging.stop_words import STOP_WORDS

_SCRIPTS = {
    "CJK": "zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CYRILLIC": "ru",
    "ARABIC": "ar",
    "HEBREW": "he",
    "GREEK": "el",
    "DEVANAGARI": "hi",
    "THAI": "th",
}
"""The first word of a letter's Unicode name, and the language that it is counted for."""

LANGUAGES = (*STOP_WORDS, *dict.fromkeys(_SCRIPTS.values()))
"""ISO 639-1 codes. A script stands for one language: Cyrillic counts as Russian, Arabic script as Arabic."""

_CODE = re.compile(r"(```+|~~~+).*?(?:\1|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+['\u2019]?")
_KANA_SHARE = 0.1
"""Of kana among the letters of Japanese text, far more than that; above it, Chinese characters count as Japanese."""


@dataclass(frozen=True)
class LanguageJudge:
    """How much of the reply is in a language, 0 to 1; None if it has too few words to tell, such as a number or a name.

    The letters are shared out by script; those of Latin script by the small words found ("the", "und"), a word of
    several languages counting for each in part. Code and addresses are left out.
    """

    language: str = "en"

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise InputError(f"The language is {self.language!r}; it can be {', '.join(LANGUAGES)}.")

    @property
    def name(self) -> str:
        """Such as "language: en"."""
        return f"language: {self.language}"

    @property
    def fingerprint(self) -> str:
        """Of the language and the word lists."""
        return digest("language", self.language, {one: sorted(words) for one, words in STOP_WORDS.items()})

    def __call__(self, prompt: str, reply: str) -> float | None:
        """The share of the reply that is in the language."""
        shares = self.explain(reply)
        return shares.get(self.language, 0.0) if shares else None

    @staticmethod
    def explain(reply: str) -> dict[str, float]:
        """The share of each language that was found, the largest first, together 1; empty if none can be told."""
        text = _CODE.sub(" ", spoken(reply))
        letters = Counter(_language_of(letter) for letter in text if letter.isalpha())
        latin = letters.pop("latin", 0)
        letters.pop("other", 0)
        if letters["ja"] > _KANA_SHARE * (letters["ja"] + letters["zh"]):
            letters["ja"] += letters.pop("zh", 0)
        weights = {one: float(count) for one, count in letters.items() if count}
        for one, share in _by_stop_words(text).items():
            weights[one] = weights.get(one, 0.0) + latin * share
        total = sum(weights.values())
        return dict(sorted(((one, weight / total) for one, weight in weights.items()), key=lambda pair: -pair[1]))


def _language_of(letter: str) -> str:
    if letter.isascii():
        return "latin"
    script = unicodedata.name(letter, "").partition(" ")[0]
    return "latin" if script == "LATIN" else _SCRIPTS.get(script, "other")


def _by_stop_words(text: str) -> dict[str, float]:
    """Sentence by sentence, the language whose small words explain most of it; their shares, together 1, or nothing."""
    votes: Counter[str] = Counter()
    for sentence in re.split(r"[.!?\n]+", text):
        words = [word.lower().replace("\u2019", "'") for word in _WORD.findall(sentence)]
        hits = Counter(
            {
                one: sum(word in known or word.rstrip("'") in known for word in words)
                for one, known in STOP_WORDS.items()
            }
        )
        best = max(hits.values(), default=0)
        winners = [one for one, count in hits.items() if count == best and best]
        for one in winners:
            votes[one] += len(words) / len(winners)  # type: ignore[assignment]
    total = sum(votes.values())
    return {one: count / total for one, count in votes.items()}
