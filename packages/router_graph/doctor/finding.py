"""One thing that was looked at: how it stands, and what to do."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]
"""Fine; something that works less well, or not yet; something that does not work as it is set up."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the report."""

    state: State
    what: str
    """A sentence without its full stop."""
    remedy: str = ""
    """What to paste into a shell; empty where nothing is to be done."""


def ok(what: str, remedy: str = "") -> Finding:
    """All is well; the remedy, if any, is what can come next."""
    return Finding("ok", what, remedy)


def warning(what: str, remedy: str) -> Finding:
    """Less than it could be."""
    return Finding("warning", what, remedy)


def problem(what: str, remedy: str) -> Finding:
    """What makes `polyroute doctor` end with exit code 1."""
    return Finding("problem", what, remedy)


def mending(file: object) -> str:
    """The command that opens a file in the user's editor."""
    return f"${{EDITOR:-vi}} {shlex.quote(str(file))}"
