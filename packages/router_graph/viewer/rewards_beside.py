"""The rewards of a log in its index: of each reward the file that was written last.

A line of `LOG/rewards/VERSION.jsonl` is a score: run_id, number (of the step, 0 for the whole run), total, parts and
version; see `polyroute train reward`. Of a reward of steps, the run's is their sum.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from router_graph.errors import MissingExtraError
from router_graph.viewer.remembered import is_known, known

FOLDER = "rewards"
_AT_ONCE = 10_000
_INSERT = (
    "INSERT OR REPLACE INTO rewards(run, step, name, version, value, components, made) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


def refresh(db: sqlite3.Connection, beside: Path) -> set[str]:
    """Bring the table `rewards` up to date; the runs that were scored anew."""
    files = {f"{FOLDER} {name}": (name, [path]) for name, path in newest(beside / FOLDER).items()}
    gone = {
        one: (one.removeprefix(f"{FOLDER} "), []) for one in known(db) - files.keys() if one.startswith(f"{FOLDER} ")
    }
    changed: set[str] = set()
    for remembered, (name, paths) in {**files, **gone}.items():
        if not is_known(db, remembered, paths):
            changed |= _forget(db, name)
            for path in paths:
                changed |= _read(db, name, path)
    return changed


def newest(folder: Path) -> dict[str, Path]:
    """By the name of a reward, its file that was written last."""
    found = [one for one in folder.glob("*") if one.suffix in (".jsonl", ".parquet")]
    return {name_of(one.stem): one for one in sorted(found, key=lambda one: one.stat().st_mtime_ns)}


def name_of(version: str) -> str:
    """Of the reward whose version this is: `verifiable` of `verifiable-0123456789ab`."""
    return version.rpartition("-")[0] or version


def _read(db: sqlite3.Connection, name: str, path: Path) -> set[str]:
    made, runs, rows = path.stat().st_mtime, set[str](), list[tuple[object, ...]]()
    whole: dict[str, dict[str, float]] = {}
    totals: dict[str, float] = {}
    version = path.stem
    for score in _scores(path):
        run, number, version = score["run_id"], score["number"], score["version"]
        rows.append((run, number, name, version, score["total"], json.dumps(score["parts"]), made))
        runs.add(run)
        if number:
            totals[run] = totals.get(run, 0.0) + score["total"]
            parts = whole.setdefault(run, {})
            for part, value in score["parts"].items():
                parts[part] = parts.get(part, 0.0) + value
        if len(rows) >= _AT_ONCE:
            db.executemany(_INSERT, rows)
            rows.clear()
    sums = [(run, 0, name, version, total, json.dumps(whole[run]), made) for run, total in totals.items()]
    db.executemany(_INSERT, [*rows, *sums])
    return runs


def _scores(path: Path) -> Iterator[Mapping[str, Any]]:
    """Every line that is a score; what is none is skipped."""
    rows = _parquet(path) if path.suffix == ".parquet" else _lines(path)
    for row in rows:
        try:
            whole = isinstance(row["run_id"], str) and isinstance(row["number"], int)
            parts = {str(part): float(value) for part, value in row["parts"].items()}
            if whole and row["number"] >= 0:
                yield {**row, "total": float(row["total"]), "parts": parts, "version": str(row["version"])}
        except (KeyError, TypeError, ValueError, AttributeError):
            continue


def _lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for raw in file:
            try:
                yield orjson.loads(raw)
            except ValueError:
                continue


def _parquet(path: Path) -> Iterator[Any]:
    from router_graph.trajectories.parquet import pyarrow

    try:
        pa, pq = pyarrow()
    except MissingExtraError:  # without it nobody reads such a file
        return
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    yield {**row, "parts": dict(row["parts"])}
    except (OSError, pa.ArrowException):
        return


def _forget(db: sqlite3.Connection, name: str) -> set[str]:
    runs = {row[0] for row in db.execute("SELECT DISTINCT run FROM rewards WHERE name = ?", [name])}
    db.execute("DELETE FROM rewards WHERE name = ?", [name])
    return runs
