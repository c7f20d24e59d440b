"""Where a document comes from: the one thing that every reader is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kb_tools.errors import UnreadableFileError


class UnreadableFile(UnreadableFileError):
    """A file that cannot be read, with its path and the reason apart."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path} cannot be read: {reason}.")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Origin:
    """A file on its way to documents."""

    path: Path
    source: str
    """Identifies the file: its absolute posix path."""
    name: str
    """What the ids of its documents begin with."""
    on_bytes: Callable[[int], None] | None = None
    """Called with the number of bytes read so far, by readers that stream, before each document."""

    def metadata(self, **more: Any) -> dict[str, Any]:
        """The metadata of a document of this file."""
        return {"source": self.source, "file": self.path.name, **more}

    def unreadable(self, reason: str) -> UnreadableFile:
        """The error to raise, for one clause without its full stop."""
        return UnreadableFile(self.path, reason)


def brief(error: BaseException) -> str:
    """A foreign error in one line that fits into a sentence."""
    text = " ".join(str(error).split()).rstrip(".")
    return (text[:200] + "…" if len(text) > 200 else text) or type(error).__name__
