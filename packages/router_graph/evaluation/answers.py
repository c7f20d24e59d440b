"""The answer of a run as it is scored: without the marks of its sources, and empty where none was found."""

from __future__ import annotations

import re
from collections.abc import Iterable

from router_graph.policies.closing import NOTHING
from router_graph.state import Citation, Hit

_MARK = re.compile(r"\s*\[([A-Za-z0-9][\w-]*:[^\[\]\n]*)\]")
_NAME = re.compile(r"[A-Za-z0-9][\w-]*:\S+")


def bare(answer: str, known: Iterable[Hit | Citation] = ()) -> str:
    """The answer without the marks of its sources, and empty where it is the sentence that none was found.

    A mark names documents: those that are `known`, or any whose name has no space in it. Other words in brackets are
    words of the answer: a policy could else say there what it does not want to be judged by.
    """
    names = {f"{one['kb']}:{one['doc_id']}" for one in known}

    def unmarked(found: re.Match[str]) -> str:
        pieces = re.split(r"\s*[,;]\s*", found[1].strip())
        is_mark = found[1].strip() in names or all(one in names or _NAME.fullmatch(one) for one in pieces)
        return "" if is_mark else found[0]

    return "" if answer.startswith(NOTHING) else _MARK.sub(unmarked, answer).strip()
