"""Writes the lines of runs: one write each, to a file that the process has alone, so that no line is torn."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from router_graph.errors import SettingsError
from router_graph.trajectories.cut import MOST_CHARACTERS, cut, each_text
from router_graph.trajectories.records import Line
from router_graph.trajectories.redact import redacted
from router_graph.trajectories.shards import decode, encode, new_shard_path, today

Sync = Literal["run", "never", "line"]

_logger = logging.getLogger(__name__)
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_FLAGS |= getattr(os, "O_NONBLOCK", 0)  # files ignore it; `langgraph dev` forbids an event loop any write without it
_PROBE = b"\n" * 65_536
"""What a disk must have room for when a writer is made."""


class RunWriter:
    """Appends lines to a shard below a folder; see `shards` for the form. Safe to use from many threads; a process that
    is forked off begins a shard of its own, and so does each day.

    What is written survives the death of the process. A power cut costs, with `sync="run"`, what was written within the
    last moments: a thread waits for the disk whenever a run ends. With "line" each line is waited for, and with "never"
    none.

    `redact` changes each text before it is written (see `redact`); texts of more than `most_characters` are cut, None
    for none. Raises `SettingsError` where the folder cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        redact: Callable[[str], str] | None = None,
        sync: Sync = "run",
        most_characters: int | None = MOST_CHARACTERS,
    ) -> None:
        if sync not in ("run", "never", "line"):
            raise SettingsError(f'A log is synced after each "run", each "line" or "never", and not {sync!r}.')
        if most_characters is not None and most_characters < 1:
            raise SettingsError(f"most_characters is {most_characters}; give 1 or more, or None to keep all of a text.")
        self.folder = Path(folder)
        self.written = 0
        """Lines that reached the file."""
        self.dropped = 0
        """Lines that did not."""
        self.problem = ""
        """Why the last one did not, in a sentence."""
        self._redact, self._sync, self._most = redact, sync, most_characters
        self._path, self._day, self._file = self.folder, "", -1
        self._lock = threading.Lock()
        self._syncer: _Syncer | None = None
        self._torn = False
        _probe(self.folder)
        if hasattr(os, "register_at_fork"):
            _forkable.add(self)

    @property
    def path(self) -> Path | None:
        """The shard that is being written; None before the first line, and after `close`."""
        return self._path if self._file >= 0 else None

    def write(self, line: Line) -> bool:
        """Append a line; whether it was written. Never raises: what cannot be written is counted, and said once."""
        try:
            data = self._encoded(line)
            with self._lock:
                self._append(data)
                self.written += 1
                if self._sync == "line":
                    os.fsync(self._file)
                elif self._sync == "run" and line["kind"] in ("ended", "failed"):
                    self._syncer = self._syncer or _Syncer()
                    self._syncer.sync(self._file)
        except Exception as error:  # of a redaction too: what could not be redacted is not written
            self._drop(error)
            return False
        return True

    def close(self) -> None:
        """Wait until all is on the disk, and close the shard. A line that comes later begins another."""
        with self._lock:
            syncer, self._syncer = self._syncer, None
            if syncer is not None:
                syncer.close()
            if self._file >= 0:
                if self._sync != "never":
                    with contextlib.suppress(OSError):
                        os.fsync(self._file)
                os.close(self._file)
                self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _encoded(self, line: Line) -> bytes:
        data = encode(line)
        if self._redact is not None:  # as it would be read, so that no object hides a text
            data = encode(redacted(decode(data), self._redact))
        most = self._most
        if most is not None and len(data) > most:  # else no text in it can be longer
            data = encode(each_text(decode(data), lambda text: cut(text, most)))
        return data

    def _append(self, data: bytes) -> None:
        if self._file < 0 or self._day != today() or os.fstat(self._file).st_nlink == 0:  # somebody removed the file
            self._open()
        before = os.fstat(self._file).st_size
        try:
            rest = memoryview(b"\n" + data if self._torn else data)
            while rest:  # once, but where the disk is full
                rest = rest[os.write(self._file, rest) :]
            self._torn = False
        except OSError:
            self._torn = True
            os.ftruncate(self._file, before)
            self._torn = False
            raise

    def _open(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        path = new_shard_path(self.folder)
        with ThreadPoolExecutor(1) as aside:  # `langgraph dev` forbids it in an event loop, even once a day
            aside.submit(path.parent.mkdir, parents=True, exist_ok=True).result()
        self._file = os.open(path, _FLAGS, 0o666)
        self._path, self._day, self._torn = path, path.parent.name, False

    def _drop(self, error: Exception) -> None:
        self.dropped += 1
        self.problem = str(error) or type(error).__name__
        if self.dropped == 1:
            _logger.warning(
                "A line of a run could not be written to %s (%s); the run goes on, and more of them are only counted.",
                self.folder,
                self.problem,
            )

    def _forked(self) -> None:
        """In a child: the lock may be held by a thread that is not here, and the file is the parent's."""
        self._lock, self._syncer = threading.Lock(), None
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self.written = self.dropped = 0


class _Syncer:
    """Waits for the disk in a thread of its own; what comes meanwhile is waited for together."""

    def __init__(self) -> None:
        self._wanted: int | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="runs-sync", daemon=True)
        self._thread.start()

    def sync(self, file: int) -> None:
        """Soon. The file may be closed meanwhile."""
        with self._changed:
            if self._wanted is None:
                self._wanted = os.dup(file)
                self._changed.notify()

    def close(self) -> None:
        """End the thread, when it has nothing to do any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None or self._is_closed)
                file, self._wanted = self._wanted, None
            if file is None:
                return
            with contextlib.suppress(OSError):  # a file system that cannot sync
                os.fsync(file)
            os.close(file)


_forkable: weakref.WeakSet[RunWriter] = weakref.WeakSet()


def _after_fork() -> None:
    for writer in list(_forkable):
        writer._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _probe(folder: Path) -> None:
    """Write something, and take it away again. Raises `SettingsError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = new_shard_path(folder).name.replace(".jsonl", ".probe")
        file = os.open(folder / probe, _FLAGS, 0o666)
        try:
            if os.write(file, _PROBE) < len(_PROBE):
                raise OSError("the disk is full")
        finally:
            os.close(file)
            (folder / probe).unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"Runs cannot be recorded in {folder} ({reason}); give a folder that can be written, on a disk with room."
        ) from None
