"""The labels of a log in its index."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.labels import Label, label_files, read_labels
from router_graph.viewer.action_json import as_told
from router_graph.viewer.remembered import is_known


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


def _rows(db: sqlite3.Connection) -> set[tuple[object, ...]]:
    return {tuple(row) for row in db.execute("SELECT run, step, who, verdict, better, note, at FROM labels")}


def _row(label: Label) -> tuple[object, ...]:
    better = None if label["better"] is None else json.dumps(as_told(label["better"]))
    return label["run"], label["step"], label["verdict"], better, label["note"], label["by"], label["at"]
