"""The index of a log: what of each run can be listed, searched and sorted, without reading the log again.

A thread follows the log's files from where it stopped, those first that were written last, and says what changed.
Requests read what is there already, and wait for nothing.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from router_graph.trajectories.compacted import manifest_of, read_one
from router_graph.trajectories.manifest import NAME
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.shards import LogError
from router_graph.viewer import schema
from router_graph.viewer.beside import BESIDE, Refresh
from router_graph.viewer.shard_lines import put_together
from router_graph.viewer.taking import LogFile, files_of, taker

_logger = logging.getLogger(__name__)

TICK_S = 0.3
"""How often the files are looked at while somebody listens."""
_TORN_AFTER_S = 60.0
"""A last line without its end is torn where its shard has not grown for so long; before, it is being written."""
_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""What is wrong with an index while another viewer, or whoever empties caches, takes it away; it is made again."""

Changed = Callable[[set[str]], None]


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
                db.execute("BEGIN")  # one state of the log for all that a request reads
                yield db
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING:
                raise LogError("The index of this log cannot be read just now; load the page again.") from error
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
        files = list(files_of(self.log, self.beside))
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

    def _take_all(self, db: sqlite3.Connection, file: LogFile) -> None:
        take, size = taker(file)
        while not self._closed:
            before = self._left
            db.execute("BEGIN IMMEDIATE")  # another viewer of this log may be at it too
            try:
                is_more, changed = take(db)
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
