"""The few words of the evidence that answer a question best, by plain reading: no language model.

A document is worth the rare words of the question that stand in it or in a row that links to it. Of the best document
it takes the span that is of the kind that is asked for and stands next to the noun that is asked for. This finds fewer
than one answer of five on OTT-QA's train questions: of use with its source beside it, not to be trusted without.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from router_graph.citations import mark
from router_graph.evidence.links import links_of
from router_graph.evidence.lookup import cell_of, pinned
from router_graph.evidence.rows import Rows, heading, rows_of
from router_graph.evidence.spans import Asked, asked_for, is_year, spans
from router_graph.evidence.words import rarity, words
from router_graph.state import Hit

NAMED_COLUMN = 4.0
"""A cell whose column bears the name of what is asked for."""
NEAR_NOUN = 2.0
"""Each word of what is asked for that stands within `_NEAR` characters of the span."""
COUNTED_NOUN = 1.5
"""A number that stands before the noun that is counted."""
LIKELY_YEAR = -2.0
"""A number that could be a year, where a count is asked for."""
OWN_TITLE = -1.5
"""A name out of the title: passages repeat what they are about."""
_NEAR = 15
_IS = re.compile(r" ?,? ?(?:is|was|are|were) (?:the|a|an|one)\b")
_READ = 20_000
"""Characters of a document that are read."""
_LONGEST = 300
"""Characters of an answer that is a sentence."""
_SENTENCE = re.compile(r"(?<=[^A-Z\s][.!?]) +(?=[A-Z\"'])|(?<= [.!?]) +|\n+")
_ONE_LINE = str.maketrans("[]", "()")  # what is quoted must not read as a citation


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, or a row of a table."""

    hit: Hit
    text: str
    own: frozenset[str]
    context: frozenset[str]
    """The words of its document and of what it is linked with, its own among them."""
    cells: tuple[tuple[str, str], ...] = ()
    """(column, cell), for a row."""


def short_answer(question: str, hits: Iterable[Hit]) -> str:
    """The best span and its source, as in `Sasi [films:poo]`, on one line; empty where the hits hold no words.

    Where no span is of the kind that is asked for, and for what must be explained, it is the best sentence.
    """
    hits = list(hits)
    asked = asked_for(question)
    if (cell := _looked_up(question, asked, hits)) is not None:
        return _cited(*cell)
    units = _units(hits)
    wanted = sorted(set(words(question)))
    worth = rarity(wanted, [unit.own for unit in units])
    meant = _meant(question, hits)
    best: tuple[float, str, Hit] | None = None
    sentence: tuple[float, str, Hit] | None = None
    for unit in units:
        fit = sum(worth[word] for word in wanted if word in unit.context)
        fit += len(unit.own.intersection(wanted)) / max(1, len(wanted))
        known = meant.get((unit.hit["kb"], unit.hit["doc_id"])) or meant.get(unit.hit["doc_id"])
        if known is not None and not unit.cells:
            fit += P["meant"] + P["said"] * bool(known & unit.own)
        else:
            known = frozenset()
        own = sum(worth[word] for word in wanted if word in unit.own)
        fit += P["own"] * own
        own_fit = fit + sum(worth[word] for word in wanted if word in unit.own)
        if sentence is None or own_fit > sentence[0]:
            sentence = (own_fit, unit.text[:_LONGEST], unit.hit)
        for text, bonus in _candidates(unit, asked, frozenset(wanted) | known):
            if best is None or fit + bonus > best[0]:
                best = (fit + bonus, text, unit.hit)
    chosen = best or sentence
    if chosen is None:
        return ""
    return _cited(chosen[1], chosen[2])


P = dict(meant=0.0, said=0.0, own=0.0, subj=0.0)


def _looked_up(question: str, asked: Asked, hits: Sequence[Hit]) -> tuple[str, Hit] | None:
    """The cell that says it all."""
    if asked.kind == "sentence":
        return None
    for hit in hits:
        if (table := rows_of(hit)) and (pin := pinned(question, table, heading(hit))) and len(pin.left) <= 1:
            cell = cell_of(pin, table, question, asked)
            if cell:
                return cell, hit
    return None


def _meant(question: str, hits: Sequence[Hit]) -> dict[str, frozenset[str]]:
    found = {}
    for hit in hits:
        if (table := rows_of(hit)) and (pin := pinned(question, table, heading(hit))):
            links = links_of(hit)
            for cell in table.cells[pin.row]:
                for one in links.get(cell, ()):
                    found[one] = found.get(one, frozenset()) | frozenset(words(cell))
    return found


def _cited(text: str, hit: Hit) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text.translate(_ONE_LINE))
    return f"{' '.join(shown.split())} {mark(hit['kb'], hit['doc_id'])}"


def _units(hits: Sequence[Hit]) -> list[_Unit]:
    told = [frozenset(words(f"{hit['title']} {hit['text'][:_READ]}")) for hit in hits]
    tables = [rows_of(hit) for hit in hits]
    by_id: dict[str, list[int]] = {}
    for number, hit in enumerate(hits):
        by_id.setdefault(hit["doc_id"], []).append(number)
    units: list[_Unit] = []
    linking: dict[int, frozenset[str]] = {}
    for hit, table in zip(hits, tables, strict=True):
        if table is not None:
            units += _row_units(hit, table, by_id, told, linking)
    for number, (hit, table) in enumerate(zip(hits, tables, strict=True)):
        if table is None:
            context = told[number] | linking.get(number, frozenset())
            sentences = filter(str.strip, _SENTENCE.split(hit["text"][:_READ]))
            units += [_Unit(hit, one, frozenset(words(one)), context) for one in sentences]
    return units


def _row_units(
    hit: Hit,
    table: Rows,
    by_id: dict[str, list[int]],
    told: Sequence[frozenset[str]],
    linking: dict[int, frozenset[str]],
) -> Iterator[_Unit]:
    """A unit for each row; adds the words of the row to `linking` of the documents that it links to."""
    links, title = links_of(hit), frozenset(words(hit["title"]))
    for row in table.cells:
        own = frozenset(words(" ".join(row)))
        linked = {number for cell in row for one in links.get(cell, ()) for number in by_id.get(one, ())}
        for number in linked:
            linking[number] = linking.get(number, frozenset()) | own | title
        context = own.union(title, *(told[number] for number in linked))
        yield _Unit(hit, " | ".join(row), own, context, tuple(zip(table.columns, row, strict=True)))


def _candidates(unit: _Unit, asked: Asked, wanted: frozenset[str]) -> Iterator[tuple[str, float]]:
    """What could be the answer, and what speaks for it besides its document. What the question says is no answer."""
    noun = frozenset(words(asked.about))
    if asked.kind == "sentence":
        return
    if unit.cells:
        for column, cell in unit.cells:
            if noun.intersection(words(column)) and not wanted.issuperset(words(cell)):
                yield cell, NAMED_COLUMN
        return
    title = frozenset(words(unit.hit["title"]))
    for span in spans(asked.kind, unit.text):
        said = frozenset(words(span[0]))
        if said <= wanted:
            continue
        around = unit.text[max(0, span.start() - _NEAR) : span.end() + _NEAR]
        bonus = NEAR_NOUN * len(noun.intersection(words(around)))
        if asked.kind == "number":
            bonus += COUNTED_NOUN * bool(noun.intersection(words(unit.text[span.end() : span.end() + _NEAR])[:1]))
            bonus += LIKELY_YEAR * is_year(span[0])
        if asked.kind in ("name", "person"):
            bonus += OWN_TITLE * (said <= title)
            if P["subj"]:
                after = unit.text[span.end() : span.end() + 40]
                if _IS.match(after):
                    bonus += P["subj"] + (-OWN_TITLE if said <= title and P.get("undo") else 0)
        yield span[0], bonus
