"""The index of a log: what of each run can be listed, searched and sorted, without reading the log again.

A thread follows the log's files from where it stopped, those first that were written last, and says what changed.
Requests read what is there already, and wait for nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router_graph.trajectories.compacted import is_compacted, manifest_of, read_one, read_part
from router_graph.trajectories.manifest import NAME, Manifest
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.shards import LogError, shards_in
from router_graph.viewer import schema
from router_graph.viewer.beside import BESIDE, Refresh
from router_graph.viewer.shard_lines import lines_since, put_together
from router_graph.viewer.summary import Summary, summary_of

_logger = logging.getLogger(__name__)

TICK_S = 0.3
"""How often the files are looked at while somebody listens."""
_BYTES = 2 << 20
"""Of a shard that are taken at once."""
_RUNS = 200
"""Of a compacted log."""
_TORN_AFTER_S = 60.0
"""A last line without its end is torn where its shard has not grown for so long; before, it is being written."""

_UNFIT = (LogError, KeyError, TypeError, ValueError, AttributeError, OverflowError)
_UNFIT += (sqlite3.InterfaceError, sqlite3.ProgrammingError)  # type: ignore[assignment]
"""What lines raise that are whole and yet make no run: some other program wrote them."""

Changed = Callable[[set[str]], None]


@dataclass(frozen=True, slots=True)
class _File:
    """A shard as it stands; or the manifest of a compacted log, whose size is its number of runs."""

    path: Path
    is_fork: bool
    inode: int
    size: int
    written: float


class Index:
    """Open it once for a log, from any thread; close it at the end. The log need not be there yet."""

    def __init__(self, log: str | Path, *, cache: Path | None = None, beside: Sequence[Refresh] = BESIDE) -> None:
        self.log = Path(log)
        self.beside = self.log.parent if self.log.is_file() else self.log
        """The folder in which `forks`, `labels` and `rewards` lie."""
        self._refresh = beside
        self._temporary: Path | None = None
        self._path = self._made(cache or schema.index_path(self.log))
        self._listeners: list[Changed] = []
        self._state = threading.Condition()
        self._asked, self._served, self._closed = 0, 0, False
        self._left, self._whole = 0, 0
        self._torn = 0
        self._thread: threading.Thread | None = None
        self.heeds_signals = False
        """`leave` is called at the signals that end the process; see `live.leave_in_time`."""
        self.is_left = False
        """Nobody is to listen any more."""
        self.problem: str | None = None
        """Why the log cannot be read, if it cannot."""

    def wake(self, wait_s: float = 0.0) -> None:
        """Look whether the log has grown, and wait so long for what comes of it."""
        with self._state:
            if self._closed:
                return
            self._asked += 1
            ticket = self._asked
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="polyroute-viewer-index", daemon=True)
                self._thread.start()
            self._state.notify_all()
            self._state.wait_for(lambda: self._served >= ticket or self._closed, timeout=wait_s)

    @property
    def share(self) -> float | None:
        """How much of what has to be read is read, from 0 to 1; None where all of it is."""
        left, whole = self._left, self._whole
        return None if left <= 0 or whole <= 0 else max(0.0, 1 - left / whole)

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for a request. What is damaged is thrown away and made again, which raises `LogError` once."""
        try:
            with contextlib.closing(schema.connect(self._path)) as db:
                db.execute("PRAGMA query_only=ON")
                yield db
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "no such table" not in str(error):
                raise
            self._again()
            raise LogError("The index of this log was damaged and is being made again; load the page again.") from error

    def listen(self, changed: Changed) -> Callable[[], None]:
        """From now on the files are followed, and `changed` is called, in another thread, with the runs that grew.
        Returns what ends it."""
        with self._state:
            self._listeners.append(changed)
        self.wake()

        def end() -> None:
            with self._state:
                self._listeners.remove(changed)

        return end

    def leave(self) -> None:
        """Send the listeners away, as the server is about to end and waits for them."""
        self.is_left = True
        with self._state:
            listeners = list(self._listeners)
        for one in listeners:
            one(set())

    def tell(self, changed: set[str]) -> None:
        """Tell whoever listens that these runs changed."""
        if not changed:
            return
        with self._state:
            listeners = list(self._listeners)
        for one in listeners:
            one(changed)

    def record(self, run: str) -> RunRecord | None:
        """The whole run, from the log; None where there is none of this id. Raises `LogError`."""
        with self.read() as db:
            found = db.execute(
                "SELECT s.path, p.at FROM places p JOIN shards s ON s.id = p.shard WHERE p.run = ? ORDER BY s.id, p.at",
                [run],
            ).fetchall()
        if not found:
            return None
        places: dict[Path, list[int]] = {}
        for one in found:
            places.setdefault(Path(one["path"]), []).append(one["at"])
        for path, parts in places.items():
            if path.name == NAME:
                return read_one(path.parent, manifest_of(path.parent)["parts"][parts[0]], run)
        return put_together(run, places)

    @property
    def damaged(self) -> int:
        """Lines that cannot be read."""
        with self.read() as db:
            return int(db.execute("SELECT coalesce(sum(damaged), 0) FROM shards").fetchone()[0]) + self._torn

    def close(self) -> None:
        """Stop following."""
        self.leave()
        with self._state:
            self._closed = True
            self._state.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=10)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _made(self, path: Path) -> Path:
        try:
            schema.make(path)
        except (OSError, sqlite3.Error):  # a cache that cannot be written: for this process alone, then
            self._temporary = Path(tempfile.mkdtemp(prefix="polyroute-viewer-"))
            path = self._temporary / "index.sqlite"
            schema.make(path)
        return path

    def _follow(self) -> None:
        while True:
            with self._state:
                due = TICK_S if self._listeners else None
                self._state.wait_for(lambda: self._asked > self._served or self._closed, timeout=due)
                if self._closed:
                    return
                ticket = self._asked
            try:
                self._pass()
                self.problem = None
            except (LogError, OSError) as error:
                self.problem = str(error)
            except sqlite3.DatabaseError as error:
                _logger.warning("The index of %s is made again (%s).", self.log, error)
                self._again()
            except Exception:
                _logger.exception("The log %s cannot be followed.", self.log)
                time.sleep(TICK_S)
            with self._state:
                self._served = max(self._served, ticket)
                self._state.notify_all()

    def _pass(self) -> None:
        files = list(self._files())
        with contextlib.closing(schema.connect(self._path)) as db:
            known = {Path(row["path"]): row for row in db.execute("SELECT * FROM shards")}
            there = {one.path: one for one in files}
            if any(
                path not in there or there[path].size < row["done"] or there[path].inode != row["inode"]
                for path, row in known.items()
            ):
                self._empty(db)
                known = {}
            grown = [one for one in files if one.path not in known or known[one.path]["done"] < one.size]
            self._torn = 0
            done = {one.path: known[one.path]["done"] if one.path in known else 0 for one in grown}
            self._left = sum(one.size - done[one.path] for one in grown)
            self._whole = self._left + sum(row["done"] for row in known.values())
            for one in sorted(grown, key=lambda one: -one.written):
                self._take_all(db, one)
            changed = set[str]()
            if self._refresh:
                db.execute("BEGIN IMMEDIATE")
                for refresh in self._refresh:
                    changed |= refresh(db, self.beside)
                db.execute("COMMIT")
        self._left = 0
        self.tell(changed)

    def _files(self) -> Iterator[_File]:
        if not self.log.exists():
            return
        if self.log.is_dir() and is_compacted(self.log):
            path = self.log / NAME
            told = path.stat()
            yield _File(
                path, False, int(manifest_of(self.log)["fingerprint"][:12], 16), _runs_of(self.log), told.st_mtime
            )
        else:
            yield from _shards(self.log, is_fork=False)
        yield from _shards(self.beside / "forks", is_fork=True)

    def _take_all(self, db: sqlite3.Connection, file: _File) -> None:
        take = _Compacted(file).take if file.path.name == NAME else _take_lines
        size = _RUNS if file.path.name == NAME else _BYTES
        while not self._closed:
            before = self._left
            db.execute("BEGIN IMMEDIATE")  # another viewer of this log may be at it too
            try:
                is_more, changed = take(db, file)
                done = int(db.execute("SELECT done FROM shards WHERE path = ?", [str(file.path)]).fetchone()[0])
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise
            self._left = max(0, min(before, self._left - size)) if is_more else max(0, self._left)
            self.tell(changed)
            if not is_more:
                if done < file.size and time.time() - file.written > _TORN_AFTER_S:
                    self._torn += 1
                return
            time.sleep(0.001)  # requests want their turn

    def _empty(self, db: sqlite3.Connection) -> None:
        """The log is another one than before."""
        db.execute("BEGIN IMMEDIATE")
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            db.execute(f'DELETE FROM "{table}"')
        db.execute("COMMIT")

    def _again(self) -> None:
        with contextlib.suppress(OSError, sqlite3.Error):
            schema.throw_away(self._path)
            schema.make(self._path)


def _runs_of(log: Path) -> int:
    return sum(part["runs"] for part in manifest_of(log)["parts"])


def _shards(folder: Path, *, is_fork: bool) -> Iterator[_File]:
    try:
        paths = shards_in(folder)
    except LogError:  # nothing is recorded there yet
        return
    for path in paths:
        with contextlib.suppress(OSError):
            told = path.stat()
            yield _File(path.absolute(), is_fork, told.st_ino, told.st_size, told.st_mtime)


def _shard(db: sqlite3.Connection, file: _File) -> sqlite3.Row:
    db.execute(
        "INSERT INTO shards(path, is_fork, inode, done, damaged) VALUES (?, ?, ?, 0, 0) ON CONFLICT DO NOTHING",
        [str(file.path), file.is_fork, file.inode],
    )
    row: sqlite3.Row = db.execute("SELECT * FROM shards WHERE path = ?", [str(file.path)]).fetchone()
    return row


def _take_lines(db: sqlite3.Connection, file: _File) -> tuple[bool, set[str]]:
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

    def __init__(self, file: _File) -> None:
        self._file = file
        self._runs: Iterator[tuple[int, RunRecord]] | None = None
        self._at = 0

    def take(self, db: sqlite3.Connection, file: _File) -> tuple[bool, set[str]]:
        """Whether there is more, and the runs that came."""
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
    """Write the rows of a run, in the place of those that there are."""
    row = {**summary.run, "path": json.dumps(summary.run["path"])}
    _insert(db, "runs", [row])
    db.execute("DELETE FROM acts WHERE run = ?", [row["id"]])
    _insert(db, "acts", [{"run": row["id"], **act} for act in summary.acts])


def _insert(db: sqlite3.Connection, table: str, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    if rows:
        names = ", ".join(rows[0])
        marks = ", ".join(f":{name}" for name in rows[0])
        db.executemany(f"INSERT OR REPLACE INTO {table}({names}) VALUES ({marks})", rows)
