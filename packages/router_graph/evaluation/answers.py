"""The answer of a run as it is scored: without the marks of its sources, and empty where none was found."""

from __future__ import annotations

import re

from router_graph.policies.closing import NOTHING

_MARK = re.compile(r"\s*\[[A-Za-z0-9][\w-]*:[^\[\]\n]*\]")


def bare(answer: str) -> str:
    """The answer without the marks of its sources, and empty where it is the sentence that none was found."""
    return "" if answer.startswith(NOTHING) else _MARK.sub("", answer).strip()
