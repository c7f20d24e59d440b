"""The labels of a log in its index."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.labels import Label, label_files, read_labels
from router_graph.viewer.action_json import as_told


def refresh(db: sqlite3.Connection, beside: Path) -> set[str]:
    """Bring the table `labels` up to date; the runs of which something was said, or taken back."""
    if is_known(db, "labels", label_files(beside)):
        return set()
    before = _rows(db)
    db.execute("DELETE FROM labels")
    db.executemany(
        "INSERT INTO labels(run, step, verdict, better, note, who, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [_row(one) for one in read_labels(beside, report=LogReport())],
    )
    return {str(row[0]) for row in before ^ _rows(db)}


def is_known(db: sqlite3.Connection, name: str, files: Iterable[Path]) -> bool:
    """Whether these files are as they were when this was asked last; now they are known so."""
    told = [(str(one), stat.st_size, stat.st_mtime_ns) for one in files for stat in [one.stat()]]
    now = json.dumps(told)
    db.execute("CREATE TABLE IF NOT EXISTS beside(name TEXT PRIMARY KEY, files TEXT)")
    row = db.execute("SELECT files FROM beside WHERE name = ?", [name]).fetchone()
    if (row is None and not told) or (row is not None and row[0] == now):
        return True
    db.execute("INSERT OR REPLACE INTO beside VALUES (?, ?)", [name, now])
    return False


def _rows(db: sqlite3.Connection) -> set[tuple[object, ...]]:
    return {tuple(row) for row in db.execute("SELECT run, step, who, verdict, better, note, at FROM labels")}


def _row(label: Label) -> tuple[object, ...]:
    better = None if label["better"] is None else json.dumps(as_told(label["better"]))
    return label["run"], label["step"], label["verdict"], better, label["note"], label["by"], label["at"]
