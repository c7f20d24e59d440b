"""The short answers that replies hold: tagged, bold or quoted text, names, numbers and dates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from router_graph.evaluation.metrics import normalize_answer
from router_graph.evidence.spans import Kind, asked_for, spans
from router_graph.evidence.words import words
from router_graph.policies.replies import tagged_answer, untagged

MOST = 64
"""Candidates of one reply: the marked ones, then from left to right. What is behind them is rarely the answer, and a
reply of any length is read in bounded time."""
_LONGEST = 8
"""Words of a short answer."""

Mark = Literal["tagged", "bold", "quoted", "plain"]
"""How a span stands in its reply."""

_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
_QUOTED = re.compile(r'"([^"\n]{2,80})"|\u201c([^\u201d\n]{2,80})\u201d')
_COUNTED = re.compile(r"\d[\d,.]{0,15} [^\W\d_]{1,20}")
_JOINED = re.compile(r" (?:and|in|for) ")
_LED = re.compile(r"(?:in|on|at|by|as|about|around|approximately|during|for|from|to) ", re.IGNORECASE)
_AROUND = " .,;:!?\"'\u2018\u2019\u201c\u201d*()[]"
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\Wa-z])|\n+")
_REFUSAL = re.compile(
    r"\b(?:I (?:do not|don't|cannot|can't|could not|couldn't|am not|am unable)|I'm (?:not|sorry|unable)|unable to"
    r"|not (?:aware|specified|sure|available|possible)|more (?:information|context)|does not|unknown|cannot)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Span:
    """A span of one reply that may be the answer."""

    text: str
    """As it is written where it stands first."""
    marks: set[Mark] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Said:
    """One reply, read once. Texts are normalised as answers are, with a space at both ends: whole words are found."""

    whole: str
    first: str
    """The first sentence."""
    tagged: str
    """What stands in its answer tag, or the whole of a reply that is as short as an answer."""
    refuses: bool
    """Whether it says that it does not know."""
    spans: dict[str, Span]
    """By normalised text, in the order of reading."""


def heard(question: str, reply: str) -> Said:
    """What a reply holds. Its candidates are of the kind that the question asks for, or names."""
    marked = untagged(reply)
    plain = marked.replace("**", "")
    tagged = tagged_answer(reply)
    if tagged is not None:
        tagged = untagged(tagged).replace("**", "")
    elif len(reply.split()) <= _LONGEST:
        tagged = plain
    found: dict[str, Span] = {}
    for mark, text in _texts(asked_for(question).kind, marked, plain, tagged or ""):
        text = " ".join(text.split()).strip(_AROUND)
        key = normalize_answer(text)
        if words(key) and len(key.split()) <= _LONGEST and (key in found or len(found) < MOST):
            found.setdefault(key, Span(text)).marks.add(mark)
    opening = next((one for one in _SENTENCE_END.split(plain, maxsplit=3) if one.strip()), "")
    return Said(
        whole=_spaced(plain),
        first=_spaced(opening),
        tagged=_spaced(tagged or ""),
        refuses=refuses(reply),
        spans=found,
    )


def candidates(said: Sequence[Said]) -> dict[str, str]:
    """The candidates of several replies: normalised text → as it is written where it is found first."""
    found: dict[str, str] = {}
    for one in said:
        for key, span in one.spans.items():
            found.setdefault(key, span.text)
    return found


def refuses(text: str) -> bool:
    """Whether a text says that it does not know."""
    return _REFUSAL.search(text) is not None


def _texts(kind: Kind, marked: str, plain: str, tagged: str) -> Iterator[tuple[Mark, str]]:
    """Every text that may be a candidate, the marked ones first."""
    if tagged:
        yield from (("tagged", one) for one in _variants(tagged, kind))
    yield from (("bold", match[1]) for match in _BOLD.finditer(marked))
    yield from (("quoted", match[1] or match[2]) for match in _QUOTED.finditer(plain))
    if kind in ("number", "year", "date"):
        for one in ("date", "number", "year"):
            yield from (("plain", match[0]) for match in spans(one, plain))
    if kind == "number":
        yield from (("plain", match[0]) for match in _COUNTED.finditer(plain))
    for match in spans("name", plain):
        name = match[0]
        yield "plain", name[led.end() :] if (led := _LED.match(name)) else name
        if len(parts := _JOINED.split(name)) > 1:
            yield from (("plain", part) for part in parts)


def _variants(text: str, kind: Kind) -> Iterator[str]:
    """The text, without what leads it in, and up to its first comma."""
    yield text
    if led := _LED.match(text):
        yield text[led.end() :]
    if kind != "date" and "," in text:
        yield text.split(",", 1)[0]


def _spaced(text: str) -> str:
    return f" {normalize_answer(text)} "
