"""A document → the units that are indexed for it, and back: a long text has windows, a table a card and its rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from kb_tools import images, tables
from kb_tools.documents import Document, Passage, Table
from kb_tools.errors import KBInputError
from kb_tools.search.snapshot import LEXICAL

if TYPE_CHECKING:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

OURS = "kb:"
"""Metadata keys that begin so are this package's own."""
NUMBER, UNITS, DIGEST, JSON, ROWS = "kb:unit", "kb:units", "kb:digest", "kb:json", "kb:rows"

WINDOW, OVERLAP = 1_000, 100
"""Characters of a window and of what it shares with the next: about MiniLM's 256 tokens."""
WHOLE = 1_600
"""A text up to this length is one unit: little of it is cut, and each further window costs as much as a text."""
_NOT_FILTERABLE = ("$", "#", "chroma:")  # keys that Chroma keeps for itself
_ONE_CARD = 6_000
"""A text up to this length is one text to BM25, which splitting would rob of context; its windows have vectors only."""
_VERSION = 3
"""Raise it when the same document makes other units: an `add` then writes it again."""
_CARD_CHARACTERS = 20_000  # a table up to this size has all its words in one unit

_document: TypeAdapter[Document] = TypeAdapter(Document)


@dataclass(frozen=True, slots=True)
class Unit:
    """What is stored and searched as one: a row of the collection."""

    id: str
    """`<document id>#<number>`; number 0 is the head, which holds the document itself."""
    text: str
    """What is shown, and what BM25 reads where `lexical` is set."""
    embedded: str
    """What the embedding reads."""
    lexical: bool = True
    rows: tuple[int, int] | None = None
    """First and last row, for a unit that holds rows of a table."""


def units_of(document: Document) -> list[Unit]:
    """The units of a document, head first. Raises `KBInputError` for metadata that cannot be stored."""
    if isinstance(document, Passage):
        units = _passage_units(document)
    elif isinstance(document, Table):
        units = _table_units(document)
    else:
        words = images.words(document)
        units = [Unit(f"{document.id}#0", words, words or "image")]
    return units


def metadata_of(document: Document, units: list[Unit]) -> list[dict[str, Any]]:
    """What Chroma keeps beside each unit: the filterable metadata of its document, and on the head the document."""
    shared = _filterable(document)
    records = []
    for number, unit in enumerate(units):
        record = {**shared, NUMBER: number, LEXICAL: unit.lexical}
        if unit.rows is not None:
            record[ROWS] = f"{unit.rows[0]}-{unit.rows[1]}"
        records.append(record)
    # A one-unit passage is its unit's text; that much need not be stored twice.
    spared = {"text"} if isinstance(document, Passage) and units[0].text == document.text else set()
    records[0] |= {
        UNITS: len(units),
        DIGEST: digest(document),
        JSON: document.model_dump_json(exclude=spared, round_trip=True),
    }
    return records


def digest(document: Document) -> str:
    """Equal digests mean that a document is stored already, as this version would store it."""
    return f"{_VERSION}:{document.digest()}"


def document_from(text: str, record: Mapping[str, Any]) -> Document:
    """The document that a head unit holds, exactly as it was added."""
    fields = json.loads(record[JSON])
    if fields["kind"] == "passage":
        fields.setdefault("text", text)
    return _document.validate_python(fields)


def rows_from(record: Mapping[str, Any]) -> range:
    """The rows of a table that a unit holds."""
    first, _, last = str(record.get(ROWS, "0--1")).partition("-")
    return range(int(first), int(last) + 1)


def _passage_units(passage: Passage) -> list[Unit]:
    prefix = f"{passage.title}. " if passage.title else ""
    if len(passage.text) <= WHOLE:
        return [Unit(f"{passage.id}#0", passage.text, prefix + passage.text)]
    windows = _splitter().split_text(passage.text) or [passage.text[:WINDOW]]
    if len(passage.text) > _ONE_CARD:
        return [Unit(f"{passage.id}#{i}", text, prefix + text) for i, text in enumerate(windows)]
    return [
        Unit(f"{passage.id}#0", passage.text, prefix + windows[0]),
        *(Unit(f"{passage.id}#{i}", text, prefix + text, lexical=False) for i, text in enumerate(windows[1:], start=1)),
    ]


def _table_units(table: Table) -> list[Unit]:
    cells = sum(len(cell) for row in table.rows for cell in row)
    complete = cells <= _CARD_CHARACTERS
    text = "\n".join(
        part
        for part in (
            table.title,
            table.section,
            table.caption,
            " , ".join(table.header),
            *((" , ".join(row) for row in table.rows) if complete else [tables.card(table)]),
        )
        if part
    )
    units = [Unit(f"{table.id}#0", text, tables.embedding_text(table))]
    for number, block in enumerate(tables.row_blocks(table), start=1):
        rows = "\n".join(tables.row_text(table, row) for row in block)
        # Where the head has every word already, the rows need only their vectors.
        units.append(Unit(f"{table.id}#{number}", rows, rows, lexical=not complete, rows=(block.start, block.stop - 1)))
    return units


@lru_cache(maxsize=1)
def _splitter() -> RecursiveCharacterTextSplitter:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    return RecursiveCharacterTextSplitter(chunk_size=WINDOW, chunk_overlap=OVERLAP)


def _filterable(document: Document) -> dict[str, Any]:
    """The part of a document's metadata that Chroma can filter on; all of it is kept in the document itself."""
    kept: dict[str, Any] = {}
    for key, value in document.metadata.items():
        if key.startswith(OURS):
            raise KBInputError(
                f"Metadata key {key!r} of {document.id!r} begins with {OURS!r}, which is reserved; rename it."
            )
        if not key or key.startswith(_NOT_FILTERABLE):
            continue
        if _flat(value) or (
            isinstance(value, list) and value and all(_flat(item) and type(item) is type(value[0]) for item in value)
        ):
            kept[key] = value
    if isinstance(document, Table):
        kept["section"] = document.section
    return kept | {"title": document.title}  # last: BM25 reads it


def _flat(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str)
