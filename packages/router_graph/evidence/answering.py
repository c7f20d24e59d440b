"""The few words of the evidence that answer a question best, by plain reading: no language model.

Where a row of a table explains all that the question says, its cell is the answer (`lookup`). Else a document is worth
the rare words of the question that stand in it or in a row that links to it, and of the best document it takes the span
that is of the kind that is asked for and stands next to the noun that is asked for. This finds one answer of five on
OTT-QA's train questions: of use with its source beside it, not to be trusted without. Where the evidence has too little
to do with the question there is no answer (`support`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from router_graph.citations import mark
from router_graph.evidence.links import links_of
from router_graph.evidence.lookup import cell_of, pinned
from router_graph.evidence.rows import Rows, heading, rows_of
from router_graph.evidence.spans import Asked, asked_for, is_of_kind, is_year, spans
from router_graph.evidence.support import ENOUGH, support
from router_graph.evidence.words import names, rarity, words
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
IS_THE_NOUN = 3.0
"""A name of which the sentence says that it is what is asked for: "Elbrus is the highest peak"."""
MEANT = 2.0
"""A document that the one row links to that the question means."""
DEFINES = 2.0
"""A sentence that says what the thing is that the question names."""
LEFT_OPEN = 1
"""Words of a question that a row which answers it need not explain."""
_NEAR = 15
_SAID_OF = 50
"""Characters after a name in which the sentence says what it is."""
_READ = 20_000
"""Characters of a document that are read."""
_LONGEST = 300
"""Characters of an answer that is a sentence."""
_SENTENCE = re.compile(r"(?<=[^A-Z\s][.!?]) +(?=[A-Z\"'])|(?<= [.!?]) +|\n+")
_IS = re.compile(r" ?(?:(?:, )?(?:is|was|are|were) (?:the|an?|one)|, (?:the|an?)) ")
_DEFINED = re.compile(r"((?:\S+ ){1,5}?)(?:is|are) ")
_SMALL = re.compile(r"\b[a-z]+\b")
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


@dataclass(frozen=True, slots=True)
class _Row:
    """What is known of a document from the one row that the question means, which links to it."""

    link: frozenset[str] = frozenset()
    """The words of the link: the question names this otherwise, so that it is no answer."""
    explained: frozenset[str] = frozenset()
    """The words of the question that the row explains."""


def short_answer(question: str, hits: Iterable[Hit]) -> str:
    """The best span and its source, as in `Sasi [films:poo]`, on one line; empty where the hits hold no words, or
    too few of the question's.

    Where no span is of the kind that is asked for, and for what must be explained, it is the best sentence.
    """
    hits, asked = list(hits), asked_for(question)
    if found := sure_answer(question, hits, left_open=LEFT_OPEN):
        return found
    units = _units(hits)
    if support(question, [unit.own for unit in units], [unit.context for unit in units]) < ENOUGH:
        return ""
    wanted = sorted(set(words(question)))
    worth = rarity(wanted, [unit.own for unit in units])
    meant = _meant(question, hits)
    small = frozenset(word for hit in hits for word in _SMALL.findall(hit["text"][:_READ]))
    best: tuple[float, str, Hit] | None = None
    sentence: tuple[float, str, Hit] | None = None
    for unit in units:
        row = None if unit.cells else meant.get(unit.hit["doc_id"])
        known = unit.context | row.explained if row else unit.context
        fit = sum(worth[word] for word in wanted if word in known) + MEANT * bool(row)
        fit += len(unit.own.intersection(wanted)) / max(1, len(wanted))
        own_fit = fit + sum(worth[word] for word in wanted if word in unit.own) + DEFINES * _defines(unit.text, wanted)
        if sentence is None or own_fit > sentence[0]:
            sentence = (own_fit, unit.text[:_LONGEST], unit.hit)
        for text, bonus in _candidates(unit, asked, row.link.union(wanted) if row else frozenset(wanted), small):
            if best is None or fit + bonus > best[0]:
                best = (fit + bonus, text, unit.hit)
    chosen = best or sentence
    return _cited(*chosen[1:]) if chosen else ""


def sure_answer(question: str, hits: Iterable[Hit], *, left_open: int = 0) -> str:
    """The cell that is asked for, of the table that explains most of the question, with its source; empty unless it
    explains all words of it but `left_open`, and all names and numbers."""
    asked = asked_for(question)
    if asked.kind == "sentence":
        return ""
    found = []
    for hit in hits:
        if (table := rows_of(hit)) is None or (pin := pinned(question, table, heading(hit))) is None:
            continue
        if len(pin.left) > left_open or not pin.left.isdisjoint(names(question)):
            continue
        if (cell := cell_of(pin, table, question, asked)) is not None:
            found.append((len(pin.left), cell, hit))
    return _cited(*min(found, key=lambda one: one[0])[1:]) if found else ""


def _meant(question: str, hits: Sequence[Hit]) -> dict[str, _Row]:
    """By document: the row that the question means and that links to it."""
    wanted, found = frozenset(words(question)), dict[str, _Row]()
    for hit in hits:
        links = links_of(hit)
        if not links or (table := rows_of(hit)) is None or (pin := pinned(question, table, heading(hit))) is None:
            continue
        for cell in table.cells[pin.row]:
            for one in links.get(cell, ()):
                before = found.get(one, _Row())
                found[one] = _Row(before.link.union(words(cell)), before.explained | (wanted - pin.left))
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


def _candidates(unit: _Unit, asked: Asked, said: frozenset[str], small: frozenset[str]) -> Iterator[tuple[str, float]]:
    """What could be the answer, and what speaks for it besides its document. What was said already is no answer."""
    noun = frozenset(words(asked.about))
    if asked.kind == "sentence":
        return
    if unit.cells:
        for column, cell in unit.cells:
            fits = is_of_kind(asked.kind, cell) and noun.intersection(words(column))
            if fits and not said.issuperset(words(cell)):
                yield cell, NAMED_COLUMN
        return
    title = frozenset(words(unit.hit["title"]))
    named = asked.kind in ("name", "person")
    for span in spans(asked.kind, unit.text):
        told = frozenset(words(span[0]))
        if told <= said or (named and span[0].lower() in small and not unit.text[: span.start()].strip()):
            continue  # a capital at the front of a sentence makes no name
        around = unit.text[max(0, span.start() - _NEAR) : span.end() + _NEAR]
        bonus = NEAR_NOUN * len(noun.intersection(words(around)))
        if asked.kind == "number":
            bonus += COUNTED_NOUN * bool(noun.intersection(words(unit.text[span.end() : span.end() + _NEAR])[:1]))
            bonus += LIKELY_YEAR * is_year(span[0])
        if named:
            bonus += OWN_TITLE * (told <= title)
            after = unit.text[span.end() : span.end() + _SAID_OF]
            if is_ := _IS.match(after):
                bonus += IS_THE_NOUN * bool(noun.intersection(words(after[is_.end() :])))
        yield span[0], bonus


def _defines(sentence: str, wanted: Sequence[str]) -> bool:
    """Whether it begins as in "The pass statement is", for a question about the pass statement."""
    subject = _DEFINED.match(sentence.lstrip())
    return subject is not None and bool(told := words(subject[1])) and set(told).issubset(wanted)
