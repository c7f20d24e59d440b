"""A statement that a model wrote may read the tables, for a while, and do nothing else."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import NamedTuple

from kb_tools.errors import SQLError

MAX_EXPANSIONS = 5_000
"""sqlite copies a WITH query for each mention, before the time limit counts: 18 levels of 2 mentions take 460 MB."""

MAX_STATEMENT = 20_000

_LIMITS = {
    # The longest text or row, in bytes. It also bounds what no time limit can stop: one call of a function.
    sqlite3.SQLITE_LIMIT_LENGTH: 50_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: MAX_STATEMENT * 4,  # in bytes
    sqlite3.SQLITE_LIMIT_COLUMN: 1_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 500,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

_CATALOG = frozenset({"_tables", "_columns", "sqlite_master", "sqlite_schema"})

# What computes a value from values. Left out on purpose: what loads, reads or writes (load_extension, readfile,
# writefile, edit), what takes or gives pointers (fts3_tokenizer, fts5), what fills memory (zeroblob, randomblob).
_FUNCTIONS = frozenset(
    """abs acos asin atan atan2 avg ceil ceiling char coalesce concat concat_ws cos count cume_dist current_date
    current_time current_timestamp date datetime degrees dense_rank exp first_value floor format glob group_concat
    hex if ifnull iif instr julianday lag last_value lead length like likelihood likely ln log log10 log2 lower
    ltrim max median min mod nth_value ntile nullif octet_length percent_rank percentile percentile_cont
    percentile_disc pi pow power printf quote radians random rank replace round row_number rtrim sign sin soundex
    sqrt strftime string_agg substr substring sum tan time timediff total trim trunc typeof unicode unixepoch
    unlikely upper""".split()
)

_ADDING = ("sum", "avg", "total")

# What sqlite adds up for what it says; of any other text it takes the digits that it begins with, or 0.
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?\s*", re.IGNORECASE | re.ASCII)

_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?(?:\*/|\Z)"
    r"""|(?P<quoted>"(?:[^"]|"")*"|'(?:[^']|'')*'|`(?:[^`]|``)*`|\[[^\]]*\])"""
    # sqlite takes everything above ASCII as a letter
    r"|(?P<word>[\w$\x80-\U0010ffff]+)|(?P<sign>\S)",
    re.DOTALL,
)


class Sandbox:
    """Guards a connection from then on, and explains a refusal. One for each statement."""

    def __init__(self, connection: sqlite3.Connection, tables: Collection[str], timeout_s: float) -> None:
        self._connection = connection
        self._tables = tables
        self._defined: set[str] = set()
        self._timeout_s = timeout_s
        self._late = False
        self._refusal = ""
        self._adds = False
        self._reads: set[tuple[str, str]] = set()
        # A third line, below the read-only file and the authorizer.
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        # sqlite's own compare each character with each: 0.3 s a call within the limits, hundreds of calls a row.
        for name in ("trim", "ltrim", "rtrim"):
            connection.create_function(name, 2, _stripper(name), deterministic=True)
        for limit, value in _LIMITS.items():
            connection.setlimit(limit, value)
        connection.set_authorizer(self._authorize)

    def check(self, statement: str) -> None:
        """Refuse what only the text shows. SQLError."""
        if len(statement) > MAX_STATEMENT:
            raise SQLError(f"The statement has {len(statement):,} characters; at most {MAX_STATEMENT:,} are allowed.")
        tokens = tokenize(statement)
        if all(token.text == ";" for token in tokens):
            raise SQLError("The statement is empty; give one SELECT statement.")
        defined = with_queries(tokens)
        self._defined = {token.text for token in defined}
        if expansions(tokens, defined) > MAX_EXPANSIONS:
            raise SQLError("The WITH queries refer to one another too often; write the statement with fewer of them.")

    def may_add_text(self) -> bool:
        """Whether the statement that ran has a SUM, AVG or TOTAL, and a text column, perhaps not in it."""
        find = "SELECT 1 FROM _columns WHERE table_name = ? AND name = ? AND type = 'TEXT'"
        return self._adds and any(self._connection.execute(find, read).fetchone() for read in list(self._reads))

    def refuse_adding_text(self) -> None:
        """From now on a SUM, AVG or TOTAL that meets a text that is no number fails. For a check, not for results.

        A sum in Python takes six times as long as sqlite's own, and is not the same to the last digit.
        """

        def refuse(name: str, text: object) -> None:
            shown = " ".join(str(text)[:40].split())
            self._refusal = (
                f"{name.upper()} met {shown!r}, which is text and not a number; turn the column into numbers first, "
                "for example with CAST(REPLACE(column, ',', '') AS REAL), or leave such rows out with a WHERE."
            )

        for name in _ADDING:
            self._connection.create_window_function(name, 1, _adder(partial(refuse, name)))

    def explain(self, error: Exception) -> str:
        """One sentence on why the statement failed, sqlite's own words where they say enough."""
        if self._late:
            return (
                f"Stopped after {self._timeout_s:g} s; "
                "ask for less: join on an equality, add a WHERE, or split the question."
            )
        if self._refusal:
            return self._refusal
        if isinstance(error, UnicodeEncodeError):
            return "The statement has half a character; lone surrogates cannot be sent to sqlite, so leave them out."
        return " ".join(str(error).split()) or type(error).__name__

    @contextmanager
    def time_limit(self) -> Iterator[None]:
        """Interrupt what runs inside when the time is up. Until then a sort may fill temporary files, not memory.

        From a thread and not by sqlite's progress handler, which has to call Python every few steps to be prompt: with
        a call at every tenth step, a sum over a million rows took three times as long.
        """
        done = threading.Event()

        def watch() -> None:
            if done.wait(self._timeout_s):
                return
            self._late = True
            # Again and again: sqlite forgets an interrupt that comes just before the statement starts.
            while not done.wait(0.02):
                self._connection.interrupt()

        watcher = threading.Thread(target=watch, name="kb-sql-time-limit", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _authorize(
        self, action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None
    ) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and self._may_read(first or "", second or ""):
            self._reads.add((first or "", second or ""))
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
            self._adds = self._adds or (second or "").lower() in _ADDING
            return sqlite3.SQLITE_OK
        self._refusal = self._refusal or _refused(action, first, second)
        return sqlite3.SQLITE_DENY

    def _may_read(self, table: str, column: str) -> bool:
        if table in _CATALOG or table in self._tables:
            return True
        # `count(*)` reads no column; then the name is as written, and may be that of a WITH query.
        name = table.lower()
        return not column and (name in _CATALOG or name in self._tables or name in self._defined)


def _refused(action: int, first: str | None, second: str | None) -> str:
    if action == sqlite3.SQLITE_FUNCTION:
        return f"The function {second} is not available here; use sqlite's aggregate, text, date and math functions."
    if action == sqlite3.SQLITE_READ:
        return f"The table {first} cannot be read here; SELECT name, title FROM _tables lists the tables that can."
    if action == sqlite3.SQLITE_PRAGMA:
        return (
            "The database is read-only and has no PRAGMA; "
            "SELECT * FROM _columns WHERE table_name = '...' gives columns."
        )
    return "The database is read-only; only a SELECT from the tables that _tables lists is allowed."


def _adder(refuse: Callable[[object], None]) -> type:
    class Adder:
        """An aggregate over numbers, roughly as sqlite's; `refuse` is called with a value that is none."""

        def __init__(self) -> None:
            self.total, self.count = 0.0, 0

        def step(self, value: object) -> None:
            self._add(value, 1)

        def inverse(self, value: object) -> None:
            self._add(value, -1)

        def value(self) -> float | None:
            return self.total if self.count else None

        finalize = value

        def _add(self, value: object, sign: int) -> None:
            if value is None:
                return
            if not isinstance(value, int | float):
                if not (isinstance(value, str) and _NUMBER.fullmatch(value)):
                    refuse(value)
                    raise ValueError("text is no number")
                value = float(value)
            self.total += sign * value
            self.count += sign

    return Adder


def _stripper(name: str) -> Callable[[object, object], str | None]:
    strip = {"trim": str.strip, "ltrim": str.lstrip, "rtrim": str.rstrip}[name]
    return lambda text, characters: None if None in (text, characters) else strip(str(text), str(characters))


class Token(NamedTuple):
    """A piece of a statement. A quoted name is no sign, whatever is in the quotes."""

    text: str
    is_sign: bool


_OPEN, _CLOSE, _DOT = (Token(sign, True) for sign in "().")


def tokenize(statement: str) -> list[Token]:
    """Words, quoted names and texts in lower case without their quotes, and single signs; comments are dropped.

    Texts count as names because sqlite lets them: `FROM 'a'` reads the table a.
    """
    tokens = []
    for found in _TOKEN.finditer(statement):
        if quoted := found["quoted"]:
            tokens.append(Token(quoted[1:-1].replace(quoted[-1] * 2, quoted[-1]).lower(), False))
        elif found["word"] or found["sign"]:
            tokens.append(Token(found[0].lower(), found["sign"] is not None))
    return tokens


def with_queries(tokens: Sequence[Token]) -> list[Token]:
    """The names that a statement defines by `name AS (`, in order. A window's name may be among them."""
    names = []
    for place, token in enumerate(tokens):
        if token.text != "as":
            continue
        after = place + 1
        while after < len(tokens) and tokens[after].text in ("not", "materialized"):
            after += 1
        if tokens[after : after + 1] == [_OPEN]:
            names.append(_name_before(tokens, place))
    return names


def expansions(tokens: Sequence[Token], defined: Sequence[Token]) -> int:
    """An upper bound of the copies that sqlite makes of the WITH queries: the product of their mentions."""
    mentions = Counter(
        token
        for place, token in enumerate(tokens)
        if token in defined and _DOT not in tokens[max(place - 1, 0) : place + 2]
    )
    # One of the mentions is the definition.
    return prod(max(1, mentions[name] - 1) for name in defined)


def _name_before(tokens: Sequence[Token], place: int) -> Token:
    """The name before AS at `place`, past its list of columns if there is one: `name (a, b) AS`."""
    before = place - 1
    if before > 0 and tokens[before] == _CLOSE:
        while before > 0 and tokens[before] != _OPEN:
            before -= 1
        before -= 1
    return tokens[max(before, 0)]
