"""What a log has written since the index looked last, taken into its tables a piece at a time."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router_graph.trajectories.compacted import is_compacted, manifest_of, read_part
from router_graph.trajectories.manifest import NAME, Manifest
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.shards import LogError, shards_in
from router_graph.viewer.shard_lines import lines_since, put_together
from router_graph.viewer.summary import Summary, is_right, summary_of

_BYTES = 2 << 20
"""Of a shard that are taken at once."""
_RUNS = 200
"""Of a compacted log."""
_UNFIT = (LogError, KeyError, TypeError, ValueError, AttributeError, OverflowError)
_UNFIT += (sqlite3.InterfaceError, sqlite3.ProgrammingError)  # type: ignore[assignment]
"""What lines raise that are whole and yet make no run: some other program wrote them."""

Take = Callable[[sqlite3.Connection], tuple[bool, set[str]]]
"""Takes the next piece of a file, in a transaction: whether there is more, and the runs that grew."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """A shard as it stands; or the manifest of a compacted log, whose size is its number of runs."""

    path: Path
    is_fork: bool
    inode: int
    size: int
    written: float


def files_of(log: Path, beside: Path) -> Iterator[LogFile]:
    """The shards of a log, or the manifest that it was compacted with, and those of its forks; none where nothing is
    there. Raises `LogError` for a compacted log that is not whole."""
    if not log.exists():
        return
    if log.is_dir() and is_compacted(log):
        path = log / NAME
        told = path.stat()
        yield LogFile(path, False, int(manifest_of(log)["fingerprint"][:12], 16), _runs_of(log), told.st_mtime)
    else:
        yield from _shards(log, is_fork=False)
    yield from _shards(beside / "forks", is_fork=True)


def taker(file: LogFile) -> tuple[Take, int]:
    """What takes a file, and how much of its size at once."""
    if file.path.name == NAME:
        return _Compacted(file).take, _RUNS
    return lambda db: _take_lines(db, file), _BYTES


def _runs_of(log: Path) -> int:
    return sum(part["runs"] for part in manifest_of(log)["parts"])


def _shards(folder: Path, *, is_fork: bool) -> Iterator[LogFile]:
    try:
        paths = shards_in(folder)
    except LogError:  # nothing is recorded there yet
        return
    for path in paths:
        with contextlib.suppress(OSError):
            told = path.stat()
            yield LogFile(path.absolute(), is_fork, told.st_ino, told.st_size, told.st_mtime)


def _shard(db: sqlite3.Connection, file: LogFile) -> sqlite3.Row:
    db.execute(
        "INSERT INTO shards(path, is_fork, inode, done, damaged) VALUES (?, ?, ?, 0, 0) ON CONFLICT DO NOTHING",
        [str(file.path), file.is_fork, file.inode],
    )
    row: sqlite3.Row = db.execute("SELECT * FROM shards WHERE path = ?", [str(file.path)]).fetchone()
    return row


def _take_lines(db: sqlite3.Connection, file: LogFile) -> tuple[bool, set[str]]:
    """Whether there is more, and the runs that grew."""
    shard = _shard(db, file)
    taken = lines_since(file.path, shard["done"], _BYTES)
    damaged = taken.damaged
    for run, lines in taken.lines.items():
        earlier = _places(db, run)
        try:
            record = put_together(run, earlier, [line for _, line in lines])
            keep(db, summary_of(record, max(line["at"] for _, line in lines), is_fork=file.is_fork))
        except _UNFIT:
            db.execute("DELETE FROM runs WHERE id = ?", [run])
            damaged += 1
            continue
        db.executemany("INSERT OR IGNORE INTO places VALUES (?, ?, ?)", [(run, shard["id"], at) for at, _ in lines])
    db.execute("UPDATE shards SET done = ?, damaged = damaged + ? WHERE id = ?", [taken.end, damaged, shard["id"]])
    return taken.end - shard["done"] >= _BYTES, set(taken.lines)


def _places(db: sqlite3.Connection, run: str) -> dict[Path, list[int]]:
    places: dict[Path, list[int]] = {}
    for path, at in db.execute(
        "SELECT s.path, p.at FROM places p JOIN shards s ON s.id = p.shard WHERE p.run = ? ORDER BY s.id, p.at", [run]
    ):
        places.setdefault(Path(path), []).append(at)
    return places


class _Compacted:
    """Takes the runs of a compacted log, a few at a time; `done` of its shard counts runs."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._runs: Iterator[tuple[int, RunRecord]] | None = None
        self._at = 0

    def take(self, db: sqlite3.Connection) -> tuple[bool, set[str]]:
        """Whether there is more, and the runs that came."""
        file = self._file
        shard = _shard(db, file)
        if self._runs is None or self._at != shard["done"]:  # another viewer went on meanwhile
            folder = file.path.parent
            self._runs, self._at = _runs_from(folder, manifest_of(folder), shard["done"]), shard["done"]
        taken = list(itertools.islice(self._runs, _RUNS))
        for part, record in taken:
            keep(db, summary_of(record, record.ended_at or record.at, is_fork=False))
            db.execute("INSERT OR IGNORE INTO places VALUES (?, ?, ?)", (record.run_id, shard["id"], part))
        self._at += len(taken)
        db.execute("UPDATE shards SET done = ? WHERE id = ?", [self._at, shard["id"]])
        return len(taken) == _RUNS, {record.run_id for _, record in taken}


def _runs_from(folder: Path, manifest: Manifest, start: int) -> Iterator[tuple[int, RunRecord]]:
    """The runs from a number on, each with its part."""
    for number, part in enumerate(manifest["parts"]):
        if start >= part["runs"]:
            start -= part["runs"]
            continue
        yield from ((number, record) for record in itertools.islice(read_part(folder, part), start, None))
        start = 0


def keep(db: sqlite3.Connection, summary: Summary) -> None:
    """Write the rows of a run, in the place of those that there are. One run tells what is right for its question."""
    gold = summary.run.get("gold")
    row = {**summary.run, "path": json.dumps(summary.run["path"]), "gold": gold and json.dumps(gold)}
    if gold is None and row["question_id"] and row["status"] == "ended":
        told = db.execute(
            "SELECT gold FROM runs WHERE question_id = ? AND gold IS NOT NULL LIMIT 1", [row["question_id"]]
        ).fetchone()
        row["right"] = None if told is None else is_right(row["said"], json.loads(told["gold"]))
    _insert(db, "runs", [row])
    if gold is not None and row["question_id"]:
        others = db.execute(
            "SELECT id, said FROM runs WHERE question_id = ? AND right IS NULL AND status = 'ended'",
            [row["question_id"]],
        ).fetchall()
        db.executemany("UPDATE runs SET right = ? WHERE id = ?", [(is_right(said, gold), run) for run, said in others])
    db.execute("DELETE FROM acts WHERE run = ?", [row["id"]])
    _insert(db, "acts", [{"run": row["id"], **act} for act in summary.acts])


def _insert(db: sqlite3.Connection, table: str, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    if rows:
        names = ", ".join(rows[0])
        marks = ", ".join(f":{name}" for name in rows[0])
        db.executemany(f"INSERT OR REPLACE INTO {table}({names}) VALUES ({marks})", rows)
