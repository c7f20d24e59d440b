"""Looking something up in a table: the one row that a question means, and the cell of it that it asks for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from router_graph.evidence.order import ORDERING, extremes
from router_graph.evidence.rows import Rows
from router_graph.evidence.spans import Asked, is_of_kind
from router_graph.evidence.words import rarity, words

_STEM = 5
"""Letters that two forms of a word share at least: `discovered`, `discoverer`."""


@dataclass(frozen=True, slots=True)
class Pin:
    """The one row that a question means."""

    row: int
    said: frozenset[str]
    """The words of its cells that the question says; none where it is meant by its place in an order alone."""
    columns: frozenset[int]
    """Of these cells."""
    ordered: bool
    """It is at the end of an order."""
    left: frozenset[str]
    """The words of the question that neither these cells nor the headings nor the order explain."""


def pinned(question: str, table: Rows, heading: str) -> Pin | None:
    """The row whose cells the question says word for word, or that is at the end of the order it asks for; of several
    that it says as much of, the one at that end. None where it could be several, or none."""
    wanted = frozenset(words(question))
    general = frozenset(words(f"{heading} {' '.join(table.columns)}"))
    named = [_named(row, wanted, general) for row in table.cells]
    most = max((sum(map(len, one.values())) for one in named), default=0)
    rows = [number for number, one in enumerate(named) if sum(map(len, one.values())) == most]
    ends = extremes(question, table.columns, [table.cells[number] for number in rows])
    if ends:
        rows = [rows[place] for place, worth in ends.items() if worth == 1.0]
    if len(rows) != 1 or not (most or ends):
        return None
    cells = named[rows[0]]
    said = frozenset[str]().union(*cells.values())
    return Pin(rows[0], said, frozenset(cells), bool(ends), wanted - said - general - ORDERING)


def cell_of(pin: Pin, table: Rows, question: str, asked: Asked) -> str | None:
    """The cell of the row in the column that is asked for, if it is of the kind that is; else None."""
    heads = [frozenset(words(column)) for column in table.columns]
    worth = rarity(sorted(frozenset().union(*heads)), heads)
    noun, rest = frozenset(words(asked.about)) - pin.said, frozenset(words(question)) - pin.said
    row = table.cells[pin.row]
    if not noun and pin.ordered:
        return row[0] or None  # "Which gas giant has the lowest density?" asks for the row itself
    # What names the answer names its column; "when" and the name of the row itself leave that to the other words.
    for told in (noun, rest) if asked.kind == "date" or not noun else (noun,):
        fits = [
            (sum(worth[word] for word in sorted(_shared(told, head))), -number)
            for number, head in enumerate(heads)
            if number not in pin.columns and is_of_kind(asked.kind, row[number])
        ]
        fit, place = max(fits, default=(0.0, 0))
        if fit > 0:
            return row[-place]
    return None


def _named(row: list[str], wanted: Collection[str], general: Collection[str]) -> dict[int, frozenset[str]]:
    """The words of the cells that the question says wholly, by column; what the heading says too names no row."""
    told = {number: frozenset(words(cell)) for number, cell in enumerate(row)}
    return {number: said for number, said in told.items() if said.issubset(wanted) and not said.issubset(general)}


def _shared(noun: Collection[str], head: Collection[str]) -> set[str]:
    """The words of a heading that are forms of the noun's."""
    return {word for word in head if any(_alike(word, one) for one in noun)}


def _alike(one: str, other: str) -> bool:
    same = max(_STEM, len(one) - 2, len(other) - 2)
    return one == other or (len(one) >= same and one[:same] == other[:same])
