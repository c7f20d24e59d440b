"""A progress bar on stderr: how much is read, how fast, how long it took and will take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def progress_bar(console: Console | None = None) -> Iterator[Callable[[int, int, str], None]]:
    """Gives the `on_progress(done_bytes, total_bytes, label)` that `load` wants.

    It does nothing where stderr is no terminal. The bar counts bytes of the files that were read.
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
