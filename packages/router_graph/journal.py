"""The journal of one account: every change of an entry is a line on disk before it takes effect.

A call writes two lines at the most, one when it is reserved and one when it is closed, so nothing needs compacting.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from router_graph.budget import Amount
from router_graph.errors import LedgerError
from router_graph.ledger import Entries, Entry, merge_entries

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class Journal:
    """A file of JSON lines, `[key, entry]` each. Anybody may read it; one process at a time writes.

    A line holds names, amounts and the name of an error, never what was asked or answered. What is written survives
    the death of the process; with `fsync` it survives a power cut too, at the price of a wait for the disk each time.
    """

    def __init__(self, path: str | Path, *, fsync: bool = False) -> None:
        self.path = Path(path)
        self._fsync = fsync
        self._lock = FileLock(f"{self.path}.lock", timeout=0, thread_local=False)
        self._writing = threading.Lock()
        self._file: int | None = None
        self._process = 0
        self._whole = False

    def load(self) -> Entries:
        """The account as the file tells it. A last line that a crash cut off is left out: it never took effect.

        Raises `LedgerError` for any other damage, because to go on without the line could lose money that was spent.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unusable(error) from error
        entries: Entries = {}
        for number, line in enumerate(lines, 1):
            parsed = _parsed(line)
            if parsed is not None:
                key, entry = parsed
                entries[key] = merge_entries({key: entries.get(key, entry)}, {key: entry})[key]
            elif number < len(lines):
                raise LedgerError(
                    f"Line {number} of {self.path} is damaged; put the file back from a backup, or correct the line, "
                    "or remove it if its call is booked elsewhere."
                )
        return entries

    def acquire(self) -> None:
        """Become the one writer until `close`; a crash frees the file. `append` does it too.

        Raises `LedgerError` while another process, or another journal of this one, writes the file.
        """
        with self._writing:
            self._acquire()

    def append(self, key: str, entry: Entry) -> None:
        """Write one line. Raises `LedgerError` where it cannot be written; the file is then as it was before."""
        line = json.dumps([key, entry]).encode() + b"\n"
        with self._writing:
            self._acquire()
            assert self._file is not None
            try:
                if not self._whole:
                    self._mend(self._file)
                before = os.fstat(self._file).st_size
                try:
                    while line:  # once, but where the disk is full
                        line = line[os.write(self._file, line) :]
                    if self._fsync:
                        os.fsync(self._file)
                except OSError:
                    self._whole = False  # until the cut below is seen to have worked
                    os.ftruncate(self._file, before)
                    self._whole = True
                    raise
            except OSError as error:
                raise self._unusable(error) from error

    def close(self) -> None:
        """Let go of the file, so that another process may write it. An `append` afterwards opens it again."""
        with self._writing:
            if self._file is not None:
                os.close(self._file)
                self._file = None
                if self._process == os.getpid():
                    self._lock.release(force=True)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _acquire(self) -> None:
        if self._file is not None:
            if self._process != os.getpid():
                # The open file came along through fork(), the right to write it did not.
                raise LedgerError(f"{self.path} belongs to the process that this one was forked from; open it there.")
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise LedgerError(
                f"{self.path} is being written already, by another process or another account of this one; "
                "close it there, or wait until that process ends."
            ) from None
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._file = os.open(self.path, _FLAGS, 0o666)
            self._process, self._whole = os.getpid(), False
        except OSError as error:
            self._lock.release(force=True)
            raise self._unusable(error) from error

    def _mend(self, file: int) -> None:
        """Take a torn last line off, so that only real damage leaves a line in the middle that cannot be read."""
        data = self.path.read_bytes()
        end = data.rfind(b"\n") + 1
        if end < len(data):
            if _parsed(data[end:]) is None:
                os.ftruncate(file, end)
            else:
                os.write(file, b"\n")
        self._whole = True

    def _unusable(self, error: OSError) -> LedgerError:
        reason = error.strerror or str(error)
        return LedgerError(
            f"The journal {self.path} cannot be used ({reason}), so nothing was booked; mend that and try again."
        )


def _parsed(line: bytes) -> tuple[str, Entry] | None:
    """A line's key and entry, or None. No part of a line is a line, because it ends with the bracket that opened it."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        key, entry = json.loads(line)
        Amount(**entry["reserved"]), Amount(**entry["spent"])
        if isinstance(key, str) and entry["state"] in ("reserved", "released", "settled"):
            return key, entry
    return None
