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
    there = {f"{FOLDER} {name}": path for name, path in newest(beside / FOLDER).items()}
    gone = {one for one in known(db) if one.startswith(f"{FOLDER} ")} - there.keys()
    changed: set[str] = set()
    for one in (*there, *gone):
        path, name = there.get(one), one.removeprefix(f"{FOLDER} ")
        if not is_known(db, one, [] if path is None else [path]):
            changed |= _forget(db, name)
            changed |= set() if path is None else _read(db, name, path)
    return changed


def newest(folder: Path) -> dict[str, Path]:
    """By the name of a reward, its file that was written last."""
    found = [one for one in folder.glob("*") if one.suffix in (".jsonl", ".parquet")]
    return {name_of(one.stem): one for one in sorted(found, key=lambda one: one.stat().st_mtime_ns)}


def name_of(version: str) -> str:
    """Of the reward whose version this is: `verifiable` of `verifiable-0123456789ab`."""
    return version.rpartition("-")[0] or version


def _read(db: sqlite3.Connection, name: str, path: Path) -> set[str]:
    made, rows = path.stat().st_mtime, list[tuple[object, ...]]()
    scored, sums = set[str](), dict[str, tuple[float, dict[str, float], str]]()  # whole runs; sums over steps
    for one in _scores(path):
        run, number, total, parts = one["run_id"], one["number"], one["total"], one["parts"]
        rows.append((run, number, name, one["version"], total, json.dumps(parts), made))
        if number == 0:
            scored.add(run)
        else:
            so_far, of_parts, _ = sums.get(run, (0.0, {}, ""))
            added = {part: of_parts.get(part, 0.0) + parts.get(part, 0.0) for part in {**of_parts, **parts}}
            sums[run] = so_far + total, added, one["version"]
        if len(rows) >= _AT_ONCE:
            db.executemany(_INSERT, rows)
            rows.clear()
    rows += [
        (run, 0, name, version, total, json.dumps(parts), made)
        for run, (total, parts, version) in sums.items()
        if run not in scored
    ]
    db.executemany(_INSERT, rows)
    return scored | sums.keys()


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
