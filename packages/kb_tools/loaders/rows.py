"""What rows of any format share: cells as text, names for columns, and metadata of foreign keys."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

_RESERVED = frozenset({"source", "file", "page", "sheet", "sha256", "encoding"})
"""Metadata that the loaders write themselves."""


def row_metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a file's own as metadata; those that the loaders or the knowledge base use get `row_` in front."""
    return {f"row_{key}" if key in _RESERVED or key.startswith("kb:") else key: value for key, value in row.items()}


def cell_text(value: object) -> str:
    """A cell as text: nothing for None and NaN, whole numbers without `.0`, ISO dates, nested values as JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "TRUE" if value else "FALSE"
        case float():
            return _number(value)
        case dt.datetime() if value.tzinfo is None and value.time() == dt.time():
            return value.date().isoformat()
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case bytes():
            return value.decode("utf-8", "replace")
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, default=cell_text)
        case _:
            return str(value)


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    # 15 digits are what a spreadsheet shows: 0.1 + 0.2 is 0.3 there.
    return f"{value:.15g}"


def tidy(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """A rectangle with named columns: short rows are filled up, columns without name and values are dropped."""
    width = max([len(header), *(len(row) for row in rows)])
    used = {i for row in (header, *rows) for i, cell in enumerate(row) if cell.strip()}
    columns = [i for i in range(width) if i in used]

    def pick(row: Sequence[str]) -> list[str]:
        return [row[i] if i < len(row) else "" for i in columns]

    named = name_columns([*header, *[""] * (width - len(header))])
    return [named[i] for i in columns], [pick(row) for row in rows]


def name_columns(header: Sequence[str]) -> list[str]:
    """Every column with a name of its own: `column 3` for an empty one, `price (2)` for the second price."""
    stripped = [name.strip() for name in header]
    names: list[str] = []
    taken = set(stripped)
    for number, name in enumerate(stripped, start=1):
        base = name or f"column {number}"
        unique, copy = base, 2
        while unique in names or (unique != name and unique in taken):
            unique, copy = f"{base} ({copy})", copy + 1
        names.append(unique)
    return names
