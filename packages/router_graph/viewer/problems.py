"""What is wrong with a request: a status of HTTP and one sentence."""

from __future__ import annotations

from typing import Any

from router_graph.errors import RouterError


class Problem(RouterError):
    """Answered as `{"error": {"message": …, **more}}`."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.more = status, more


def no_run(run: str) -> Problem:
    """There is none of this id."""
    return Problem(404, f"There is no run {run[:80]!r} in this log.")
