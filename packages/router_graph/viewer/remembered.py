"""Which files beside a log are in its index already, as they are."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

_NONE = "[]"


def is_known(db: sqlite3.Connection, name: str, files: Iterable[Path]) -> bool:
    """Whether these files are as they were when this was asked last under the name; from now on they are known so."""
    now = json.dumps([(str(one), told.st_size, told.st_mtime_ns) for one in files for told in [one.stat()]])
    db.execute("CREATE TABLE IF NOT EXISTS beside(name TEXT PRIMARY KEY, files TEXT)")
    row = db.execute("SELECT files FROM beside WHERE name = ?", [name]).fetchone()
    if now == (_NONE if row is None else row[0]):
        return True
    db.execute("INSERT OR REPLACE INTO beside VALUES (?, ?)", [name, now])
    return False


def known(db: sqlite3.Connection) -> set[str]:
    """The names under which there are files."""
    db.execute("CREATE TABLE IF NOT EXISTS beside(name TEXT PRIMARY KEY, files TEXT)")
    return {str(row[0]) for row in db.execute("SELECT name FROM beside WHERE files != ?", [_NONE])}
