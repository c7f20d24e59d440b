"""The tasks of a probe: questions of a few lines, each with a program that checks the reply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Probe:
    """One task."""

    kind: str
    """What it takes, in a word or two."""
    question: str
    passes: Callable[[str], bool]
    """Whether a reply is right."""
    example: str
    """A right reply."""


def _number(wanted: int) -> Callable[[str], bool]:
    """The last number of the reply is this one: some models lead up to it though asked not to."""

    def passes(said: str) -> bool:
        numbers = _NUMBER.findall(said)
        return bool(numbers) and float(numbers[-1].replace(",", "")) == wanted

    return passes


def _says(wanted: str, *, not_: str = "") -> Callable[[str], bool]:
    """The reply has a match of one pattern in it, and none of the other."""

    def passes(said: str) -> bool:
        found, wrong = (
            re.search(rf"\b(?:{pattern})\b", said, re.IGNORECASE) if pattern else None for pattern in (wanted, not_)
        )
        return found is not None and wrong is None

    return passes


def _json(wanted: object) -> Callable[[str], bool]:
    def passes(said: str) -> bool:
        try:
            return bool(json.loads(said) == wanted)
        except ValueError:
            return False

    return passes


def _about(words: str, *, without: str, at_least: int) -> Callable[[str], bool]:
    """The reply is long enough, has one of the words in it, and none of the others; parts of words count."""

    def passes(said: str) -> bool:
        has, has_not = (re.search(one, said, re.IGNORECASE) for one in (words, without))
        return len(said.split()) >= at_least and has is not None and has_not is None

    return passes


_MINUTES = (
    "Minutes of 3 March. Present: Ines Okafor, Tom Brandt, Lea Virtanen. Tom Brandt reported that the west pump is "
    "repaired. Lea Virtanen asked for 4,200 euros for the east pump, which Ines Okafor approved. The roof waits until "
    "autumn."
)

_OF_RAIN = (
    "cloud|storm|umbrella|drop|drizzl|shower|pour|puddle|drench|soak|damp|sky|skies|fall|fell|patter|drip|downpour"
)
"""What a sentence about rain can hardly do without."""

PROBES: tuple[Probe, ...] = (
    Probe("arithmetic", "What is 47 * 86 + 129? Reply with the number only.", _number(4171), "4171"),
    Probe(
        "dates",
        "Which date is 45 days after 14 February 2024? Reply with the date only, as YYYY-MM-DD.",
        _says(r"2024-03-30", not_=r"(?!2024-03-30|2024-02-14)\d{4}-\d\d-\d\d"),
        "2024-03-30",
    ),
    Probe(
        "tables",
        "| product | Q1 | Q2 | Q3 |\n|---|---|---|---|\n| anvil | 120 | 95 | 80 |\n| bellows | 60 | 75 | 110 |\n"
        "| chisel | 70 | 88 | 92 |\n| drill | 130 | 140 | 150 |\n\n"
        "Which product sold more in Q2 than in Q1, but fewer than 100 in Q3? Reply with its name only.",
        _says("chisel", not_="anvil|bellows|drill"),
        "chisel",
    ),
    Probe(
        "extraction",
        f"{_MINUTES}\n\nWho approved the money for the east pump? Reply with the full name only.",
        _says("Ines Okafor", not_="Brandt|Virtanen"),
        "Ines Okafor",
    ),
    Probe(
        "JSON output",
        "A book: The Silent Harbour, by M. Ferro, from 1987, about ships, fog and smuggling. Reply with one JSON "
        'object and nothing else, no code fence: "title" and "author" as text, "year" as a number, "topics" as a list '
        "of words in alphabetical order.",
        _json(
            {
                "title": "The Silent Harbour",
                "author": "M. Ferro",
                "year": 1987,
                "topics": ["fog", "ships", "smuggling"],
            }
        ),
        '{"title": "The Silent Harbour", "author": "M. Ferro", "year": 1987, "topics": ["fog", "ships", "smuggling"]}',
    ),
    Probe(
        "code",
        "def f(n):\n    total = 0\n    for i in range(1, n):\n        if i % 3 == 0:\n            continue\n"
        "        total += i\n    return total\n\nWhat does f(10) return? Reply with the number only.",
        _number(27),
        "27",
    ),
    Probe(
        "several steps",
        "The Larch office is managed by Nadia. Nadia works in the city of the Birch office. The Cedar office is in "
        "Ghent. The Birch office is in Porto. The Larch office is in Turin. In which city does the manager of the "
        "Larch office work? Reply with the city only.",
        _says("Porto", not_="Ghent|Turin"),
        "Porto",
    ),
    Probe(
        "logic",
        "Anna is taller than Ben. Carl is shorter than Ben. Dora is taller than Anna. Who is the second tallest? Reply "
        "with the name only.",
        _says("Anna", not_="Ben|Carl|Dora"),
        "Anna",
    ),
    Probe(
        "general knowledge",
        "Which chemical element has the atomic number 74? Reply with its English name only.",
        _says("tungsten|wolfram"),
        "Tungsten",
    ),
    Probe(
        "translation",
        "Translate into English and reply with the translation only: Der Zug fährt heute erst um halb neun ab.",
        _says(r"0?8[:.]30|half[- ]past[- ]eight|eight[- ]thirty", not_=r"0?9[:.]30|half[- ](?:past[- ])?nine|nine"),
        "The train does not leave until half past eight today.",
    ),
    Probe(
        "prohibitions",
        "Write one sentence of at least six words about rain. It must not contain the words rain, water or wet.",
        _about(_OF_RAIN, without="rain|water|wet", at_least=6),
        "Grey clouds drum softly on the old roof.",
    ),
    Probe(
        "saying what is unknown",
        f"{_MINUTES}\n\nWhat did the repair of the west pump cost? Answer from the minutes alone; if they do not say, "
        "reply with the one word: unknown.",
        _says("unknown", not_=r"4,?200|euros?"),
        "unknown",
    ),
)
"""The tasks. What a card says was measured on them holds for these; whoever changes one changes `probe.ON` too."""
