"""Count, sum and compare over the tables of a knowledge base: a derived sqlite database, read-only for those who ask.

Each table is an sqlite table named after its title and section; `_row` is the row number, from 0. `_tables` and
`_columns` say what there is, so that a model can find its way by SQL alone.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from kb_tools.documents import Table
from kb_tools.errors import KBInputError, KBStorageError, SQLError
from kb_tools.sql_build import LAYOUT, MAX_CELL, cell_key, fill, slug
from kb_tools.sql_sandbox import Sandbox, tokenize

Value = int | float | str | None

MAX_RESULT = 200_000
"""Characters of a result; the rows after that are cut off, as those after `max_rows` are."""

MAX_CELL_WORDS = 50
"""Words of a query that the search for cells looks at."""


@dataclass(frozen=True, slots=True)
class SQLResult:
    """What a statement gave."""

    columns: list[str]
    rows: list[list[Value]]
    truncated: bool
    """Whether there were more rows than are given here."""


@dataclass(frozen=True, slots=True)
class SQLColumn:
    """A column of an sqlite table."""

    name: str
    header: str
    """As the table has it; empty for `_row`. `<name>_text` and `<name>_iso` have the header of their column."""
    type: str
    """INTEGER, REAL or TEXT."""


@dataclass(frozen=True, slots=True)
class SQLTable:
    """A table as SQL sees it."""

    name: str
    table_id: str
    title: str
    section: str
    columns: list[SQLColumn]
    rows: int


@dataclass(frozen=True, slots=True)
class Cell:
    """A value, and where it stands."""

    value: str
    table_id: str
    title: str
    column: str
    """The header of its column."""
    count: int
    """Rows of the table that have it there."""


class TableDatabase:
    """The tables of one knowledge base in sqlite: rebuilt when they change, never written otherwise. Thread-safe."""

    def __init__(self, path: Path | None) -> None:
        """`path` is the database file, which need not exist yet; None keeps everything in memory."""
        self._path = path
        self._lock = threading.Lock()
        self._memory: tuple[str, sqlite3.Connection] | None = None
        """The name of the database in memory, and the connection that keeps it alive."""

    def build(self, tables: Iterable[Table], stamp: str) -> None:
        """Replace the database. A reader sees the old one or the new one, whole; a failure leaves the old one.

        KBStorageError where the file cannot be written.
        """
        if self._path is None:
            self._build_in_memory(tables, stamp)
            return
        temporary = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
                # Nobody reads the temporary file, so a crash may lose it; it is synced once, below.
                connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
                fill(connection, tables, stamp)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except (sqlite3.Error, OSError) as error:
            raise KBStorageError(f"The SQL tables cannot be written to {self._path}: {error}.") from error
        finally:
            with suppress(OSError):
                temporary.unlink()

    def _build_in_memory(self, tables: Iterable[Table], stamp: str) -> None:
        uri = f"file:kb-{uuid.uuid4().hex}?mode=memory&cache=shared"
        keeper = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            fill(keeper, tables, stamp)
        except BaseException:
            keeper.close()
            raise
        with self._lock:
            old, self._memory = self._memory, (uri, keeper)
        if old:
            old[1].close()

    def close(self) -> None:
        """Give the memory back. A database in a file holds nothing open between calls."""
        with self._lock:
            memory, self._memory = self._memory, None
        if memory:
            memory[1].close()

    @property
    def stamp(self) -> str | None:
        """What `build` was told; None if nothing was built, or what there is cannot be used: then build it."""
        with suppress(SQLError), self._open() as connection:
            layout = connection.execute("PRAGMA user_version").fetchone()[0]
            if layout == LAYOUT:
                return str(connection.execute("SELECT stamp FROM _meta").fetchone()[0])
        return None

    def query(self, statement: str, *, max_rows: int = 200, timeout_s: float = 5.0) -> SQLResult:
        """The result of one SELECT statement.

        SQLError, in one sentence, for everything else: a syntax error, an unknown table, a write, too long a run, and
        a SUM, AVG or TOTAL of text that is no number, which sqlite would count as 0 or by its first digits. That last
        check runs the statement a second time where it reads a text column beside a SUM, under the same limits.
        """
        if max_rows < 1:
            raise KBInputError(f"max_rows is {max_rows}; ask for at least 1 row.")
        if not timeout_s > 0:
            raise KBInputError(f"timeout_s is {timeout_s}; give a number of seconds above 0.")
        result, may_add_text = self._run(statement, max_rows, timeout_s)
        if may_add_text:
            self._run(statement, max_rows, timeout_s, refuse_adding_text=True)
        return result

    def _run(
        self, statement: str, max_rows: int, timeout_s: float, *, refuse_adding_text: bool = False
    ) -> tuple[SQLResult, bool]:
        """The result, and whether it must be checked for sums of text."""
        with self._open() as connection:
            names = _table_names(connection)
            sandbox = Sandbox(connection, names, timeout_s)
            sandbox.check(statement)
            if refuse_adding_text:
                sandbox.refuse_adding_text()
            try:
                with sandbox.time_limit():
                    result = _fetch(connection.execute(statement), max_rows)
                return result, not refuse_adding_text and sandbox.may_add_text()
            # sqlite3.Warning is "one statement at a time" in Python 3.11; ValueError, a NUL or half a character
            except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError) as error:
                reason = sandbox.explain(error)
        raise SQLError(_sentence(self._advised(reason, statement, names)))

    def schema(self, name: str | None = None) -> list[SQLTable]:
        """Every table, or the one of this SQL name or table id. SQLError names the nearest if there is none."""
        with self._open() as connection:
            found = connection.execute(
                "SELECT name, table_id, title, section, rows FROM _tables"
                " WHERE ?1 IS NULL OR ?1 IN (name, table_id) ORDER BY rowid",
                (name,),
            ).fetchall()
            if name is not None and not found:
                raise SQLError(_sentence(_unknown_table(name, _table_names(connection))))
            return [
                SQLTable(table, table_id, title, section, _columns_of(connection, table), rows)
                for table, table_id, title, section, rows in found
            ]

    def cells(self, query: str, limit: int = 10) -> list[Cell]:
        """The cell values that fit the query: those equal to it but for case and spacing, then by BM25.

        Any text is allowed and none of it is syntax. KBInputError for a blank query or a limit below 1.
        """
        if not query.strip():
            raise KBInputError("The query is empty; give a word, a name or a value to look for.")
        if limit < 1:
            raise KBInputError(f"limit is {limit}; ask for at least 1 cell.")
        # A lone surrogate cannot reach sqlite.
        clean = query.encode("utf-8", "replace").decode()[:MAX_CELL]
        words = " OR ".join(_phrase(word) for word in list(dict.fromkeys(clean.split()))[:MAX_CELL_WORDS])
        select = (
            "SELECT c.value, t.table_id, t.title, c.header, c.count FROM {} JOIN _tables t ON t.name = c.table_name"
        )
        exact = select.format("_cells c") + " WHERE c.key = ? ORDER BY c.value <> ?, c.id LIMIT ?"
        ranked = (
            select.format("_cells_fts f JOIN _cells c ON c.id = f.rowid")
            + " WHERE _cells_fts MATCH ? AND c.key <> ? ORDER BY bm25(_cells_fts), c.id LIMIT ?"
        )
        key = cell_key(clean)
        with self._open() as connection:
            rows = connection.execute(exact, (key, clean, limit)).fetchall()
            if len(rows) < limit and words:
                rows += connection.execute(ranked, (words, key, limit - len(rows))).fetchall()
        return [Cell(*row) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection of its own for each call. SQLError if there is nothing that can be read."""
        if self._memory is None if self._path is None else not self._path.exists():
            raise SQLError("There are no SQL tables yet; add tables to the knowledge base.")
        try:
            with self._lock:
                connection = self._connect()
            with closing(connection):
                connection.text_factory = _decode
                yield connection
        except sqlite3.Error as error:
            raise SQLError(f"The SQL tables cannot be read and must be built again: {error}.") from error

    def _connect(self) -> sqlite3.Connection:
        if self._path is None:
            if self._memory is None:
                raise sqlite3.OperationalError("nothing was built")
            return sqlite3.connect(self._memory[0], uri=True, isolation_level=None)
        # Immutable: a build replaces the file and never changes it, so no lock and no journal is needed.
        uri = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
        return sqlite3.connect(uri, uri=True, isolation_level=None)

    def _advised(self, reason: str, statement: str, names: list[str]) -> str:
        if missing := re.fullmatch(r"no such table: (.*)", reason):
            return _unknown_table(missing[1], names)
        if missing := re.fullmatch(r"no such column: (.*)", reason):
            words = {token.text for token in tokenize(statement)}
            with self._open() as connection:
                has = "; ".join(
                    f"{name} has {', '.join(column.name for column in _columns_of(connection, name))}"
                    for name in names
                    if name in words
                )
            return f"no such column: {missing[1]}; {has or 'SELECT * FROM _columns lists those that exist'}"
        return reason


def _fetch(cursor: sqlite3.Cursor, max_rows: int) -> SQLResult:
    columns = [column[0] for column in cursor.description or ()]
    rows: list[list[Value]] = []
    size = 0
    for row in cursor:
        values = [value.hex() if isinstance(value, bytes) else value for value in row]
        size += sum(len(value) for value in values if isinstance(value, str))
        if not rows and size > MAX_RESULT:
            raise SQLError(
                f"A row has {size:,} characters; at most {MAX_RESULT:,} are allowed, so select fewer columns."
            )
        if len(rows) == max_rows or size > MAX_RESULT:
            return SQLResult(columns, rows, truncated=True)
        rows.append(values)
    return SQLResult(columns, rows, truncated=False)


def _table_names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM _tables ORDER BY rowid")]


def _columns_of(connection: sqlite3.Connection, table: str) -> list[SQLColumn]:
    rows = connection.execute(
        "SELECT name, header, type FROM _columns WHERE table_name = ? ORDER BY position", (table,)
    )
    return [SQLColumn(*row) for row in rows]


def _unknown_table(name: str, names: list[str]) -> str:
    wanted = slug(name, "table")
    containing = [candidate for candidate in names if wanted.removeprefix("t_") in candidate]
    nearest = (containing or get_close_matches(wanted, names, n=3, cutoff=0.5))[:3]
    hint = f"the nearest names are {', '.join(nearest)}" if nearest else "no name is near it"
    return f"no such table: {name}; {hint}; SELECT name, title FROM _tables lists all {len(names)}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _phrase(word: str) -> str:
    """The word as an FTS5 string, in which only the quote means something, and a NUL, which ends the query."""
    return '"' + word.replace('"', '""').replace("\0", " ") + '"'


def _decode(data: bytes) -> str:
    # CAST(x'ff' AS TEXT) is text to sqlite, and not UTF-8.
    return data.decode("utf-8", "replace")
