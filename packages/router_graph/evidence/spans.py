"""What kind of thing a question asks for, and the spans of a text that are of this kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "year", "date", "name", "person", "sentence"]

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_YEAR = r"(?:1\d|20)\d\d"
_NAME = r"[^\W\d_a-z][\w'\u2019.&-]*"
_NAMES = re.compile(rf"{_NAME}(?: (?:(?:of|the|de|la|du|von|van|and|&|for) ){{0,2}}{_NAME})*")
_SPANS: dict[Kind, re.Pattern[str]] = {
    "number": re.compile(
        r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,15})?(?!\w)"
        r"|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty)\b"
    ),
    "year": re.compile(rf"\b{_YEAR}\b"),
    "date": re.compile(
        rf"\b(?:\d{{1,2}} {_MONTH}(?: ?,? ?\d{{4}})?|{_MONTH} \d{{1,2}}(?: ?, ?\d{{4}})?|{_MONTH} \d{{4}}|{_YEAR})\b"
    ),
    "name": _NAMES,
    "person": _NAMES,
    "sentence": re.compile(r".+"),
}
_ASKING = re.compile(r"\b(how|what|which|who|whom|whose|when|where|why)\b", re.IGNORECASE)
_COUNTED = re.compile(
    r"how (?:many|much|old|tall|long|far|large|big|high|wide|deep|heavy|fast)\b"
    r"|(?:what|which)(?: \w+){0,3} (?:capacity|population|number|amount|area|height|length|age|percentage|total)\b",
    re.IGNORECASE,
)
_EXPLAINED = re.compile(r"(?:how|why)\b|what (?:do|does|did)\b.*\b(?:do|mean)\W*$", re.IGNORECASE)
_SKIPPED = frozenset(
    "is are was were did do does has have had can could will would be been of in on at for to from that who which with "
    "by and held won made the a an s".split()
)
_NOUN = 3
"""Words that name what is asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question wants to know."""

    kind: Kind
    about: str
    """What names the answer: `country` of "is from what country?"."""


def asked_for(question: str) -> Asked:
    """The kind of answer, and the noun that names it."""
    found = list(_ASKING.finditer(question))
    if not found:
        return Asked("sentence", "")
    # At the front it asks; further in, "who" and "which" mostly begin a clause, and "what" still asks.
    asking = found[0]
    if asking.start() > len("Of "):
        asking = next((one for one in found if one[0].lower() in ("what", "how")), asking)
    rest, word = question[asking.start() :], asking[0].lower()
    noun = _noun(rest[len(word) :])
    if _COUNTED.match(rest):
        return Asked("number", noun)
    if _EXPLAINED.match(rest):
        return Asked("sentence", noun)
    if word == "when" or re.match(r"\w+ (?:date|day|month)\b", rest, re.IGNORECASE):
        return Asked("date", noun)
    if word in ("who", "whom", "whose"):
        return Asked("person", noun)
    return Asked("year" if "year" in noun.split()[:2] else "name", noun)


def spans(kind: Kind, text: str) -> Iterator[re.Match[str]]:
    """The spans of this kind, from left to right."""
    return _SPANS[kind].finditer(text)


def is_of_kind(kind: Kind, cell: str) -> bool:
    """Whether a table's cell, whose words need no capitals, can be what is asked for."""
    if kind in ("number", "year", "date"):
        return any(c.isdigit() for c in cell)
    return any(c.isalpha() for c in cell) if kind == "person" else bool(cell)


def is_year(span: str) -> bool:
    """Whether a number could be a year."""
    return _SPANS["year"].fullmatch(span) is not None


def _noun(rest: str) -> str:
    """The first words that are neither verbs nor particles, up to the next that is one."""
    noun: list[str] = []
    for word in re.findall(r"[^\W_]+", rest[:200])[:8]:
        if word.lower() not in _SKIPPED:
            noun.append(word.lower())
        elif noun:
            break
    return " ".join(noun[:_NOUN])
