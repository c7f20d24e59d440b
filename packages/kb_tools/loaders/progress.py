"""A progress bar on stderr: how much is done, how fast, how long it took and will take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_STEPS = 1000
"""Progress is told in steps of this share of the whole, unless it comes to a new file."""


class Work:
    """How much of the files is done, in bytes: read is soon done, so that what counts is what of it is embedded.

    Done are the bytes of all batches that are written, and of the batch at hand the share that is embedded.
    """

    def __init__(self, on_progress: Callable[[int, int, str], None] | None) -> None:
        self._tell = on_progress or (lambda done, total, label: None)
        self._total = 0
        self._label = ""
        self._start = self._size = 0  # of the file at hand
        self._read = self._written = self._told = 0
        self._streams = False

    def begin(self, total: int) -> None:
        """There are so many bytes to read."""
        self._total = total

    def open_file(self, label: str, size: int) -> None:
        """The next file is read."""
        self._label, self._size = label, size
        self._start = self._read
        self._streams = False
        self._tell(self._told, self._total, label)

    def read_in_file(self, done: int) -> None:
        """So many bytes of the file are read: told by readers that stream, before each document."""
        self._read = self._start + min(done, self._size)
        self._streams = True

    def give_document(self) -> None:
        """A document is given; of a reader that does not stream, the whole file is behind it."""
        if not self._streams:
            self._read = self._start + self._size

    def close_file(self) -> None:
        """The file is read."""
        self._read = self._start + self._size

    def batch_share(self, share: float) -> None:
        """Of the batch that was read last, this share (0 to 1) is embedded."""
        self._reach(self._written + int(max(0.0, min(share, 1.0)) * (self._read - self._written)))

    def batch_done(self, documents: int) -> None:
        """The batch is written."""
        self._written = self._read
        self._reach(self._written)

    def finish(self) -> None:
        """Everything is done."""
        self._told = self._total
        self._tell(self._total, self._total, self._label)

    def _reach(self, done: int) -> None:
        if done - self._told >= max(1, self._total // _STEPS):
            self._told = min(done, self._total)
            self._tell(self._told, self._total, self._label)


@contextmanager
def progress_bar(console: Console | None = None) -> Iterator[Callable[[int, int, str], None]]:
    """Gives the `on_progress(done_bytes, total_bytes, label)` that `load` wants.

    It does nothing where stderr is no terminal. The bar counts bytes of files, as they are embedded.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total, label: None
        return
    bar = Progress(
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        # A file may be called "[red]": its name is no markup.
        TextColumn("{task.fields[label]}", markup=False),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None, label="")

        def on_progress(done: int, total: int, label: str) -> None:
            bar.update(task, completed=done, total=total, label=label)

        yield on_progress
