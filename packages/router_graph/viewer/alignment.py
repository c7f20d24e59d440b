"""Two runs side by side: which of their steps do the same, and where they first differ.

What was done is compared, not what was thought: who was asked, in which words (letter case and punctuation make no
difference), and the answer as it is scored. Routes of one step are a set, as they run side by side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest

from router_graph.actions import Answer
from router_graph.evaluation.answers import bare
from router_graph.evaluation.metrics import normalize_answer
from router_graph.trajectories.records import RunRecord
from router_graph.viewer.summary import actions_of

Done = frozenset[tuple[str, str]]
"""What a step did: (target, words) of each of its actions."""
_WORD = re.compile(r"\w+")


def done_in(run: RunRecord) -> list[Done]:
    """Of each step."""
    return [
        frozenset(
            act(one.target, run.answer if isinstance(one, Answer) else getattr(one, "query", ""))
            for one in actions_of(step)
        )
        for step in run.steps
    ]


def act(target: str, text: str) -> tuple[str, str]:
    """One action: its target, with the words of its query, or of the answer."""
    if target == Answer.target:
        return target, normalize_answer(bare(text)) or normalize_answer(text)
    return target, " ".join(_WORD.findall(text.casefold()))


def first_difference(one: Sequence[Done], other: Sequence[Done]) -> int | None:
    """The number (from 1) of the first step at which they do something else; None where they do the same."""
    pairs = enumerate(zip_longest(one, other), start=1)
    return next((number for number, (a, b) in pairs if a != b), None)


def aligned(one: Sequence[Done], other: Sequence[Done]) -> list[tuple[int | None, int | None]]:
    """The numbers of the steps that belong together, in order: those that do the same, and between them side by side
    what differs; None where the other run has nothing to put there."""
    found: list[tuple[int | None, int | None]] = []
    for _, a, a_end, b, b_end in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        found += zip_longest(_numbers(a, a_end), _numbers(b, b_end))
    return found


def _numbers(start: int, end: int) -> Iterable[int]:
    return range(start + 1, end + 1)
