"""The tables of the index: SQLite in the user's cache, made again whenever its version or its content does not fit."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from pathlib import Path

import platformdirs

VERSION = 4
"""Of these tables; an index of another version is thrown away."""

TABLES = """
CREATE TABLE shards(
    id INTEGER PRIMARY KEY, path TEXT UNIQUE, is_fork INTEGER, inode INTEGER, done INTEGER, damaged INTEGER);
CREATE TABLE places(
    run TEXT, shard INTEGER, at INTEGER, PRIMARY KEY(run, shard, at)) WITHOUT ROWID;
CREATE TABLE runs(
    id TEXT PRIMARY KEY, at REAL, question TEXT, answer TEXT, status TEXT, stop_reason TEXT, policy TEXT, protocol TEXT,
    right INTEGER, usd REAL, tokens INTEGER, seconds REAL, steps INTEGER, thread TEXT, question_id TEXT,
    forked_run TEXT, forked_step INTEGER, is_fork INTEGER, path TEXT, grown REAL, said TEXT, gold TEXT);
CREATE INDEX runs_at ON runs(at);
CREATE INDEX runs_question ON runs(question_id);
CREATE INDEX runs_policy ON runs(policy, question_id);
CREATE INDEX runs_forked ON runs(forked_run) WHERE forked_run IS NOT NULL;
CREATE TABLE acts(
    run TEXT, number INTEGER, position INTEGER, kb TEXT, llm TEXT, target TEXT, query TEXT, status TEXT, served TEXT,
    masked TEXT, p REAL, usd REAL, propensity REAL, forced TEXT, thought TEXT,
    PRIMARY KEY(run, number, position)) WITHOUT ROWID;
CREATE TABLE rewards(
    run TEXT, step INTEGER, name TEXT, version TEXT, value REAL, components TEXT, made REAL,
    PRIMARY KEY(run, step, name)) WITHOUT ROWID;
CREATE TABLE labels(
    run TEXT, step INTEGER, verdict TEXT, better TEXT, note TEXT, who TEXT, at REAL,
    PRIMARY KEY(run, step, who)) WITHOUT ROWID;
"""
"""`places` are where a run's lines lie: the byte in a shard, or the number of the part of a compacted log. `acts` has a
row for each action of a step, and one without a target for a step that did nothing. Step 0 of `rewards` is the run.
`gold` is what the run itself brought along, `right` by that or by what another run of its question brought."""


def index_path(log: Path) -> Path:
    """Where the index of a log is kept: never in the log's folder, which may be read-only."""
    name = hashlib.sha256(os.fsencode(log.resolve())).hexdigest()[:32]
    return platformdirs.user_cache_path("polyroute") / "viewer" / f"{name}.sqlite"


def connect(path: Path | str) -> sqlite3.Connection:
    """A connection with the functions that filters use. Each thread has its own."""
    made = sqlite3.connect(path, timeout=30, isolation_level=None)
    made.row_factory = sqlite3.Row
    made.execute("PRAGMA journal_mode=WAL")
    made.execute("PRAGMA synchronous=OFF")  # it can be made again
    made.execute("PRAGMA mmap_size=268435456")
    for name, function in FUNCTIONS.items():
        made.create_function(name, 2, function, deterministic=True)
    return made


def has(text: str | None, part: str) -> bool:
    """Whether the part stands in the text, in small or capital letters."""
    return text is not None and part.casefold() in text.casefold()


def same(text: str | None, other: str) -> bool:
    """Whether they are the same, in small or capital letters."""
    return text is not None and text.casefold() == other.casefold()


def lists(text: str | None, key: str) -> bool:
    """Whether one of the lines `KEY: why` is of this key."""
    wanted = key.casefold()
    return text is not None and any(
        line == wanted or line.startswith(f"{wanted}: ") for line in text.casefold().split("\n")
    )


FUNCTIONS = {"has": has, "same": same, "lists": lists}


def make(path: Path) -> None:
    """The file with its tables; what was there of another version, or damaged, goes."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and not _fits(path):
        throw_away(path)
    with contextlib.closing(connect(path)) as db:
        db.execute("BEGIN IMMEDIATE")
        if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            create(db)
        db.execute("COMMIT")
    path.chmod(0o600)


def create(db: sqlite3.Connection) -> None:
    """The tables, where there are none."""
    for statement in TABLES.split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version={VERSION}")


def throw_away(path: Path) -> None:
    """Remove the file, and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _fits(path: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            right_version = db.execute("PRAGMA user_version").fetchone()[0] in (VERSION, 0)
            return right_version and db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    except sqlite3.DatabaseError:
        return False
