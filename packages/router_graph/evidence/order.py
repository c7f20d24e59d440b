"""Questions that ask for an end of an order ("the largest", "the first"), and the rows that are there."""

from __future__ import annotations

import re
from collections.abc import Sequence

from router_graph.evidence.words import words

_HIGH = frozenset(
    "most highest largest biggest greatest longest tallest latest newest youngest heaviest fastest maximum last recent "
    "larger higher later longer".split()
)
_LOW = frozenset(
    "least lowest fewest smallest shortest earliest oldest first minimum slowest lightest smaller lower fewer "
    "earlier".split()
)
ORDERING = _HIGH | _LOW | {"many", "much"}
"""Words that ask for an end of an order, or for a count."""
_OF_TIME = frozenset("earliest latest oldest youngest newest recent first last earlier later".split())
_TIME = re.compile(
    r"year|date|season|founded|born|birth|elected|opened|released?|established|debut|\bage\b", re.IGNORECASE
)
_DURATION = re.compile(r"\([^)]*\b(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)\)", re.IGNORECASE)
"""In a heading, such as `year (days)`: how long something takes, not when it was."""
_PLACE = re.compile(r"(?:rank|pos|position|place|pick|round|rk)\b", re.IGNORECASE)
"""Columns where 1 is the highest."""
_AGE = re.compile(r"\bage\b", re.IGNORECASE)
_MONTHS = {
    name: number
    for number, name in enumerate(
        "january february march april may june july august september october november december".split(), 1
    )
}
_MONTH = re.compile(rf"\b({'|'.join(_MONTHS)})\b", re.IGNORECASE)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_YEAR, _DAY = re.compile(r"\b(\d{4})\b"), re.compile(r"\b(\d{1,2})\b")
_NUMBER = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d{1,15}(?:\.\d+)?")
_FILLED = 0.6
"""The share of a column's cells that must have a value before it counts as ordered."""


def value(cell: str) -> float | None:
    """A cell as a number that can be compared: a date as yyyymmdd, else its first number; None where there is none."""
    if iso := _ISO.search(cell):
        return float("".join(iso.groups()))
    if month := _MONTH.search(cell):
        year, day = _YEAR.search(cell), _DAY.search(cell)
        return float(
            (int(year[1]) * 10_000 if year else 0) + _MONTHS[month[1].lower()] * 100 + (int(day[1]) if day else 0)
        )
    number = _NUMBER.search(cell)
    return float(number[0].replace(",", "")) if number else None


def extremes(question: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[int, float]:
    """The rows at the end that the question asks for: 1 for those, 0.3 for the next one.

    The column is the one whose heading has words that stand near the superlative; "the earliest" fits dates by itself.
    """
    found: dict[int, float] = {}
    asked = re.findall(r"[a-z]+", question.lower())
    for place, word in enumerate(asked):
        if word not in _HIGH and word not in _LOW:
            continue
        near = set(words(" ".join(asked[max(0, place - 3) : place + 5])))
        column = _column(word, near, columns, rows)
        if column is None:
            continue
        values = [(value(row[column]), n) for n, row in enumerate(rows)]
        known = [(one, n) for one, n in values if one is not None]
        known.sort(key=lambda item: (-item[0] if _descending(word, columns[column]) else item[0], item[1]))
        for one, n in known:
            if one == known[0][0]:
                found[n] = 1.0
        found.setdefault(known[1][1], 0.3)
    return found


def _column(word: str, near: set[str], columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int | None:
    best, chosen = 0, None
    for number, name in enumerate(columns):
        fit = len(near.intersection(words(name))) + (word in _OF_TIME and _is_time(name))
        if fit <= best:
            continue
        values = [one for row in rows if (one := value(row[number])) is not None]
        if len(values) >= _FILLED * len(rows) and len(set(values)) > 1:
            best, chosen = fit, number
    return chosen


def _is_time(heading: str) -> bool:
    return _TIME.search(heading) is not None and _DURATION.search(heading) is None


def _descending(word: str, column: str) -> bool:
    if _AGE.search(column) and word in ("oldest", "youngest"):
        return word == "oldest"
    return (word in _HIGH) != bool(_PLACE.match(column))
