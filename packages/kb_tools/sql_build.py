"""Tables as sqlite tables: how they are named, typed and written. Plain functions over an open connection."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from kb_tools.documents import Table
from kb_tools.tables import is_empty, parse_date, parse_decimal_comma, parse_number, profile

LAYOUT = 2
"""Raised when the layout below, or how a cell is read, changes: a database of another is stale, whatever its stamp."""

MAX_COLUMNS = 1000
"""sqlite columns of a table; those of a wider one that come after are in the document only."""

MAX_CELL = 10_000
"""Characters of a cell that SQL sees; the document keeps the rest."""

MAX_NAME = 60

# The words that sqlite does not take unquoted as a name everywhere, found by trying all of its keywords.
_RESERVED = frozenset(
    """add all alter and as autoincrement between case cast check collate commit constraint create cross
    current_date current_time current_timestamp default deferrable delete distinct drop else escape except exists
    foreign from full group having in index inner insert intersect into is isnull join left limit natural not
    nothing notnull null on or order outer primary raise references returning right select set table then to
    transaction union unique update using values when where""".split()
)

_SCHEMA = f"""
PRAGMA user_version = {LAYOUT};
CREATE TABLE _meta (stamp TEXT NOT NULL);
CREATE TABLE _tables (name TEXT PRIMARY KEY, table_id TEXT, title TEXT, section TEXT, caption TEXT, rows INTEGER);
CREATE TABLE _columns (table_name TEXT, position INTEGER, name TEXT, header TEXT, type TEXT,
                       PRIMARY KEY (table_name, position)) WITHOUT ROWID;
CREATE TABLE _cells (id INTEGER PRIMARY KEY, value TEXT, key TEXT, table_name TEXT, header TEXT, count INTEGER);
"""
_INDEX = """
CREATE INDEX _cells_key ON _cells (key);
CREATE VIRTUAL TABLE _cells_fts USING fts5 (value, content='_cells', content_rowid='id');
INSERT INTO _cells_fts (_cells_fts) VALUES ('rebuild');
"""


def fill(connection: sqlite3.Connection, tables: Iterable[Table], stamp: str) -> None:
    """Write everything into an empty database, which must not be in a transaction."""
    connection.executescript(_SCHEMA)
    with connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO _meta VALUES (?)", (stamp,))
        taken: set[str] = set()
        for table in sorted(tables, key=lambda table: table.id):
            _write(connection, table, unique(slug(f"{table.title} {table.section}", "table"), taken))
    connection.executescript(_INDEX)


def _write(connection: sqlite3.Connection, table: Table, name: str) -> None:
    columns = _columns(table)
    connection.execute(
        "INSERT INTO _tables VALUES (?, ?, ?, ?, ?, ?)",
        (name, table.id, table.title, table.section, table.caption, len(table.rows)),
    )
    described = [("_row", "", "INTEGER"), *((column.name, column.header, column.type) for column in columns)]
    connection.executemany(
        "INSERT INTO _columns VALUES (?, ?, ?, ?, ?)",
        [(name, position, *column) for position, column in enumerate(described)],
    )
    # Slugs hold letters, digits and underscores only, so that nothing in them needs escaping.
    declared = ", ".join(f'"{column}" {kind}' for column, _, kind in described)
    connection.execute(f'CREATE TABLE "{name}" ({declared})')
    connection.executemany(
        f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(described))})',
        (
            (number, *(column.convert(row[column.position]) for column in columns))
            for number, row in enumerate(table.rows)
        ),
    )
    counts = Counter(
        (header, cell[:MAX_CELL])
        for row in table.rows
        for header, cell in zip(table.header, row, strict=True)
        if not is_empty(cell)
    )
    connection.executemany(
        "INSERT INTO _cells (value, key, table_name, header, count) VALUES (?, ?, ?, ?, ?)",
        [(value, cell_key(value), name, header, count) for (header, value), count in counts.items()],
    )


class _Column(NamedTuple):
    name: str
    header: str
    type: str
    position: int
    convert: Callable[[str], str | int | float | None]


def _columns(table: Table) -> list[_Column]:
    """The sqlite columns after `_row`.

    A numeric column holds numbers and NULL only: text in it would count as 0 in a SUM and be above every number in a
    MAX. So that nothing is lost, one with other cells ("81*") is followed by `<name>_text`, as written. A date column
    stays as written, and is followed by `<name>_iso`, which sorts and compares. Blank cells are NULL everywhere.
    """
    taken = {"_row"}
    names = [unique(slug(header, "column"), taken) for header in table.header[:MAX_COLUMNS]]
    columns: list[_Column] = []
    for position, (name, about) in enumerate(zip(names, profile(table), strict=False)):
        if about.type in ("integer", "real"):
            read = parse_decimal_comma if about.decimal_comma else parse_number
            columns.append(_Column(name, about.name, about.type.upper(), position, read))
            cells = (row[position] for row in table.rows)
            if any(read(cell) is None and not is_empty(cell) for cell in cells):
                extra = unique(f"{name}_text", taken)
                columns.append(_Column(extra, about.name, "TEXT", position, _as_written))
            continue
        columns.append(_Column(name, about.name, "TEXT", position, _as_written))
        if about.type == "date":
            columns.append(_Column(unique(f"{name}_iso", taken), about.name, "TEXT", position, _iso))
    return columns[: MAX_COLUMNS - 1]


def _as_written(cell: str) -> str | None:
    return cell[:MAX_CELL] if cell.strip() else None


def _iso(cell: str) -> str | None:
    date = parse_date(cell)
    return date.isoformat() if date else None


def slug(text: str, kind: Literal["table", "column"]) -> str:
    """A name that sqlite takes without quotes; letters of every script stay."""
    spelled = text.replace("#", " number ").replace("%", " percent ")
    words = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", spelled).lower()).strip("_")[:MAX_NAME].rstrip("_")
    if not words:
        return f"unnamed_{kind}"
    if words in _RESERVED:
        return f"{words}_"
    return words if words[0].isalpha() and not words.startswith("sqlite_") else f"{kind[0]}_{words}"


def unique(name: str, taken: set[str]) -> str:
    """`name`, or `name_2`, `name_3` ... where it is taken; the result is taken from then on."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


def cell_key(value: str) -> str:
    """What two cells share that are the same but for case and spacing: `St . Viator` and `St. viator`."""
    return re.sub(r" ?([^\w ]) ?", r"\1", " ".join(value.casefold().split()))
