"""Where the threads of a router are kept, by the word that stands in its settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from router_graph.errors import MissingExtraError, SettingsError

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver


@contextlib.contextmanager
def opened_checkpoints(where: str, path: Path) -> Iterator[BaseCheckpointSaver[str] | None]:
    """The checkpointer of `none`, `memory`, or an SQLite file at `path`, for sync and async graphs alike.

    Raises `SettingsError` where the file cannot be used, and `MissingExtraError` where the package for it is missing.
    """
    if where == "none":
        yield None
        return
    if where == "memory":
        from langgraph.checkpoint.memory import InMemorySaver

        yield InMemorySaver()
        return
    import sqlite3

    try:
        from router_graph.checkpoints_sqlite import SqliteThreads
    except ImportError:
        raise MissingExtraError(
            f"checkpoints: {where} is an SQLite file, which needs a package more: "
            "pip install langgraph-checkpoint-sqlite"
        ) from None
    try:
        connection = sqlite3.connect(path, check_same_thread=False)
        saver = SqliteThreads(connection)
        saver.setup()
    except sqlite3.Error as error:
        raise SettingsError(
            f"checkpoints: {where} cannot be used ({error}); give the path of an SQLite file in a folder that exists."
        ) from None
    with contextlib.closing(connection):
        yield saver
