"""When two states are the same: what was asked, done and found, whatever the words between."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Literal

from router_graph.limits import essence
from router_graph.state import Hit
from router_graph.view import View

By = Literal["history", "evidence"]
_WORD = re.compile(r"\w+")


def state_key(view: View, *, by: By = "history") -> str:
    """Names the state, for groups of equal states found across runs (GiGPO's anchor states, arXiv 2505.10978).

    Letter case, punctuation and the policy's thoughts make no difference. In the key are the question with its
    pictures and what was said before, what may be chosen now and at what price, and by "history" each route and what
    came of it, in their order; by "evidence" only the set of what was found, however it was found. What is left of
    the budget is not in it, but for what it forbids. Prices are: the same search is worth less where it is dearer, and
    that is no merit of another world's.
    """
    if by == "history":
        so_far: object = [
            [list(essence(route)), came["status"], _found(came["hits"]), _words(came["text"])]
            for _, route, came in view.routes()
        ]
    else:
        said = [_words(came["text"]) for _, route, came in view.routes() if route.kind == "llm"]
        so_far = [sorted(_found(view.evidence)), sorted(said)]
    notes = [_words(action.text) for _, action in view.actions() if action.kind == "note"]
    legal = sorted((option["key"], option["usd"]) for option in view.legal)
    earlier = [[role, _words(text)] for role, text in view.earlier]
    question = " ".join(view.question.casefold().split())  # with its signs: 2 + 2 is not 2 - 2
    state = [question, view.images, earlier, legal, so_far, notes]
    return hashlib.sha256(json.dumps(state, default=str).encode()).hexdigest()[:24]


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _found(hits: Sequence[Hit]) -> list[str]:
    return [f"{hit['kb']}:{hit['doc_id']}" for hit in hits]
