"""What was wrong with a log, counted with its place: a reader skips it, and never silently."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

_logger = logging.getLogger(__name__)

_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that was skipped, or a whole file."""

    path: Path
    line_number: int
    """From 1; 0 for the file as a whole."""
    why: str

    def __str__(self) -> str:
        place = f"line {self.line_number} of {self.path}" if self.line_number else str(self.path)
        return f"{place}: {self.why}"


@dataclass(slots=True)
class LogReport:
    """Filled while a log is read."""

    shards: int = 0
    lines: int = 0
    """Good ones."""
    bytes: int = 0
    damaged: int = 0
    """Lines that were skipped."""
    damages: list[Damage] = field(default_factory=list)
    """The first thousand of them."""
    runs: int = 0
    """Put together so far."""
    replaced: int = 0
    """Steps and observations that were written again, after a retry or a fork: the last counts."""
    lost: int = 0
    """Observations whose step is missing."""

    def add(self, path: Path, line_number: int, why: str) -> None:
        """Count a line that is skipped."""
        self.damaged += 1
        if len(self.damages) < _LISTED:
            self.damages.append(Damage(path, line_number, why))

    def warn(self) -> None:
        """Say it in the log of the process, for whoever did not ask for a report."""
        if self.damaged:
            _logger.warning("%d lines were skipped; the first is %s.", self.damaged, self.damages[0])
