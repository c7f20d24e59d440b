"""One tool call as it was read, valid or not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadCall:
    """One tool call as far as it was read."""

    name: str | None
    arguments: str
    """The arguments as JSON text, or the raw text of what is no call."""
    error: str | None = None
    """Why it is no valid call, in one sentence."""


def refused(name: str | None, raw: str, why: str) -> ReadCall:
    """What began as a call and is none."""
    return ReadCall(name, raw, f"The model began a tool call that cannot be read: {why}.")
