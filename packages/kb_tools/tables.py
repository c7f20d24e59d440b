"""What is special about a table: the types of its columns, and the texts that stand for it in an index or a prompt."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from kb_tools.documents import Table, render_table
from kb_tools.errors import KBInputError

ColumnType = Literal["integer", "real", "date", "text"]

TYPED_SHARE = 0.9
"""A column has a type if at least this share of its cells that are not empty parse as that type."""

SMALL_ROWS, SMALL_CHARACTERS = 40, 4_000
"""A table within both is shown whole."""

CARD_CELL = 80
"""Characters of a cell that a card shows; some Wikipedia cells hold a whole biography."""

MAX_NUMBER = 64
"""No plain number is written in more characters."""

MAX_DIGITS = 18
"""Longer whole numbers are identifiers, and would not fit sqlite's 64 bits."""


@dataclass(frozen=True, slots=True)
class Column:
    """What the cells of a column have in common."""

    name: str
    """The header as written."""
    type: ColumnType
    distinct: int
    """Different cells, as written, empty ones left out."""
    empty: int
    """Cells that are blank or only a dash."""
    decimal_comma: bool
    """Whether its numbers are written as in `1.234,5`, for `parse_decimal_comma`; if not, for `parse_number`."""
    low: str
    high: str
    """The range: a plain number, or an ISO date. Both are empty for a text column."""
    examples: list[str]
    """The first three different cells, as written."""


_CURRENCY = "$€£¥₹₨₽₩₺₪₱฿¢"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)\s*[{_CURRENCY}]?\s*(?P<inner>[+-]?)\s*"
    rf"(?P<digits>[0-9]{{1,3}}(?:,[0-9]{{3}})+|[0-9]+)?(?P<fraction>\.[0-9]+)?\s*[%{_CURRENCY}]?"
)
_POINT_FOR_COMMA = str.maketrans(",.", ".,")
_DASHES = str.maketrans("\u2212\u2013\u2014", "---")  # minus, en dash, em dash

_MONTHS = {
    name: number
    for number, month in enumerate(
        "january february march april may june july august september october november december".split(), 1
    )
    for name in (month, month[:3])
}
_DATE = re.compile(
    # `( 1991-01-20 ) January 20 , 1991 ( aged 32 )`: Wikipedia's sort key, then the date in words
    r"(?:(?P<iso>[0-9]{4}-[0-9]{2}-[0-9]{2})|\( (?P<key>[0-9]{4}-[0-9]{2}-[0-9]{2}) \) .*"
    r"|(?P<day>[0-9]{1,2}) (?P<month>[a-z]+)\.? ,? ?(?P<year>[0-9]{4})"
    r"|(?P<us_month>[a-z]+)\.? (?P<us_day>[0-9]{1,2}) ?, ?(?P<us_year>[0-9]{4}))",
    re.IGNORECASE,
)


def is_empty(cell: str) -> bool:
    """Whether the cell says nothing: blank, or only a dash."""
    return not cell.translate(_DASHES).replace("-", "").strip()


def parse_number(cell: str) -> int | float | None:
    """The number that the cell is, or None if it is more, or less, than one plain number.

    Allowed: a sign, thousands commas, a currency symbol before or after, a per cent sign after (`12 %` is 12).
    Not a number: `( 3 )`, `2007†`, `32-6`, `21,80` and codes such as `007`, whose zeros mean something.
    """
    plain = cell.translate(_DASHES).strip()
    # The length first: the optional spaces of the pattern would try every split of a megabyte of them.
    found = _NUMBER.fullmatch(plain) if len(plain) <= MAX_NUMBER else None
    if found is None:
        return None
    digits = (found["digits"] or "").replace(",", "")
    signs, fraction = found["sign"] + found["inner"], found["fraction"] or ""
    if not digits + fraction or len(signs) > 1 or len(digits) > MAX_DIGITS:
        return None
    if len(digits) > 1 and digits.startswith("0"):
        return None
    number = float(digits + fraction) if fraction else int(digits)
    return -number if signs == "-" else number


def parse_decimal_comma(cell: str) -> int | float | None:
    """`parse_number` for a column with `decimal_comma`: `3.769.495` is 3769495 and `891,8` is 891.8."""
    return parse_number(cell.translate(_POINT_FOR_COMMA))


def parse_date(cell: str) -> datetime.date | None:
    """The day that the cell names, or None. Only forms that cannot be misread: 04/08/2009 may be April or August."""
    found = _DATE.fullmatch(" ".join(cell.split()))
    if found is None:
        return None
    try:
        if iso := found["iso"] or found["key"]:
            return datetime.date.fromisoformat(iso)
        day, month, year = (found[name] or found[f"us_{name}"] for name in ("day", "month", "year"))
        return datetime.date(int(year), _MONTHS[month.lower()], int(day))
    except (ValueError, KeyError):
        return None


def profile(table: Table) -> list[Column]:
    """The type, range and variety of each column, in the order of the header."""
    return [_column(name, [row[position] for row in table.rows]) for position, name in enumerate(table.header)]


def _column(name: str, cells: list[str]) -> Column:
    filled = [cell for cell in cells if not is_empty(cell)]
    distinct = list(dict.fromkeys(filled))
    needed = TYPED_SHARE * len(filled)
    kind: ColumnType = "text"
    low = high = ""
    decimal_comma, numbers = _numbers(filled)
    if numbers and len(numbers) >= needed:
        kind = "integer" if all(isinstance(number, int) for number in numbers) else "real"
        low, high = str(min(numbers)), str(max(numbers))
    else:
        dates = [date for cell in filled if (date := parse_date(cell)) is not None]
        if dates and len(dates) >= needed:
            kind, low, high = "date", min(dates).isoformat(), max(dates).isoformat()
    return Column(name, kind, len(distinct), len(cells) - len(filled), decimal_comma, low, high, distinct[:3])


def _numbers(filled: list[str]) -> tuple[bool, list[int | float]]:
    """Whether the column is written with a decimal comma, and its numbers.

    `1.234` and `1,234` can be either, so the cells decide that can be one only (`891,8`, `3.769.495`; `2.5`).
    """
    english, comma = [parse_number(cell) for cell in filled], [parse_decimal_comma(cell) for cell in filled]
    only_english = only_comma = 0
    for one, other in zip(english, comma, strict=True):
        only_english += other is None and one is not None
        only_comma += one is None and other is not None
    is_comma = only_comma > only_english and len(filled) - comma.count(None) >= TYPED_SHARE * len(filled)
    return is_comma, [number for number in (comma if is_comma else english) if number is not None]


def heading(table: Table) -> str:
    """`Title. Section. Caption`, without those that are missing."""
    return ". ".join(part for part in (table.title, table.section, table.caption) if part)


def embedding_text(table: Table) -> str:
    """`title. section. columns: h1, h2. r11, r12; r21, r22; r31, r32`: what a text embedding should see of a table.

    The caption, if any, follows the section. A model of 256 tokens reads the title, the columns and the first rows.
    """
    rows = "; ".join(", ".join(row) for row in table.rows[:3])
    return ". ".join(part for part in (heading(table), f"columns: {', '.join(table.header)}", rows) if part)


def card(table: Table, *, sample_rows: int = 3) -> str:
    """What a reader needs to choose the table and to ask it: the embedding text line by line, then types and ranges."""

    def clipped(cell: str) -> str:
        return cell if len(cell) <= CARD_CELL else cell[: CARD_CELL - 1].rstrip() + "…"

    rows = "; ".join(", ".join(map(clipped, row)) for row in table.rows[:sample_rows])
    top = [heading(table), f"columns: {', '.join(table.header)}", rows, f"{len(table.rows)} rows"]
    return "\n".join([line for line in top if line] + [_described(column) for column in profile(table)])


def _described(column: Column) -> str:
    facts: list[str] = [column.type]
    if column.low:
        facts.append(f"{column.low} to {column.high}")
    facts.append(f"{column.distinct} distinct")
    if column.empty:
        facts.append(f"{column.empty} empty")
    return f"- {column.name}: {', '.join(facts)}"


def row_text(table: Table, row: int) -> str:
    """`title. section. h1: c1; h2: c2`, empty cells left out: a row that can be found, and read, on its own."""
    return block_text(table, [row])


def block_text(table: Table, rows: Iterable[int]) -> str:
    """Several rows under one title, a line each: the text of a block of `row_blocks`."""
    lines = [
        "; ".join(
            f"{name}: {cell}" if name else cell
            for name, cell in zip(table.header, table.rows[row], strict=True)
            if not is_empty(cell)
        )
        for row in _checked(table, rows)
    ]
    return ". ".join(part for part in (table.title, table.section, "\n".join(lines)) if part)


def row_blocks(table: Table, max_blocks: int = 2000) -> list[range]:
    """The rows in order, one a block; in a longer table, `max_blocks` blocks whose sizes differ by at most one."""
    if max_blocks < 1:
        raise KBInputError(f"max_blocks is {max_blocks}, but a table needs at least 1 block.")
    rows = len(table.rows)
    blocks = min(rows, max_blocks)
    edges = [rows * block // blocks for block in range(blocks)] + [rows] if blocks else []
    return [range(start, stop) for start, stop in pairwise(edges)]


def is_small(table: Table) -> bool:
    """Whether a reader can be shown the whole table: at most 40 rows and 4,000 characters."""
    return len(table.rows) <= SMALL_ROWS and len(render_table(table.header, table.rows)) <= SMALL_CHARACTERS


def excerpt(table: Table, rows: Sequence[int]) -> str:
    """The heading, then Markdown: the whole table if it is small, else its header and these rows in table order.

    Rows count from 0, as in `_row` of the SQL tables. KBInputError for a row that the table does not have.
    """
    shown = sorted(set(_checked(table, rows)))
    if is_small(table):
        return "\n".join(filter(None, [heading(table), render_table(table.header, table.rows)]))
    which = f"rows {_runs(shown)} of {len(table.rows)}" if shown else f"none of {len(table.rows)} rows shown"
    body = render_table(table.header, [table.rows[row] for row in shown])
    return "\n".join(filter(None, [heading(table), which, body]))


def links(table: Table, rows: Sequence[int]) -> dict[str, list[str]]:
    """The ids of the documents that the cells of these rows link to, by the text of the cell; cells without a link are
    left out."""
    if table.links is None:
        return {}
    found: dict[str, list[str]] = {}
    for row in _checked(table, rows):
        for cell, linked in zip(table.rows[row], table.links[row], strict=True):
            known = found.setdefault(cell, []) if linked else []
            known += [document for document in dict.fromkeys(linked) if document not in known]
    return found


def _checked(table: Table, rows: Iterable[int]) -> list[int]:
    checked = list(rows)
    for row in checked:
        if not 0 <= row < len(table.rows):
            raise KBInputError(f"table {table.id!r} has no row {row}: it has {len(table.rows)}, from 0.")
    return checked


def _runs(numbers: Sequence[int]) -> str:
    """`3, 17-19` for 3, 17, 18, 19: a block of a huge table is one run, not a page of numbers."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
