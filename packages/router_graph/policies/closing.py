"""How a policy without a language model ends a run: with the best that there is, or an honest sentence."""

from __future__ import annotations

from collections.abc import Sequence

from router_graph.actions import Answer
from router_graph.evidence import short_answer
from router_graph.limits import DUE
from router_graph.policies.policy import Choice
from router_graph.policies.replies import answer_in, replies
from router_graph.state import Hit
from router_graph.view import View

NOTHING = "No answer was found"
"""How the answer of a run begins that has none."""
_ASKED = ("ok", "empty", "failed")
"""What came of the routes that were taken; the others were refused, declined, or taken before."""


def close(view: View, *, hits: Sequence[Hit] | None = None, thought: str = "") -> Choice:
    """Answer from these documents, or all that were found; else from what a model said last; else say that nothing is.

    The answer is never blank.
    """
    evidence = view.evidence if hits is None else list(hits)
    said = list(replies(view).values())
    if found := short_answer(view.question, evidence):
        return Choice(thought or "The documents that were found hold the answer.", (Answer(found),))
    if said:
        return Choice(thought or "A model gave the answer.", (Answer(answer_in(said[-1])),))
    return Choice(thought or "Nothing was found.", (Answer(nothing(view)),))


def nothing(view: View) -> str:
    """The sentence for a run that found no answer: whom it asked, or why it could ask nobody."""
    asked = list(dict.fromkeys(route.target for _, route, came in view.routes() if came["status"] in _ASKED))
    if asked:
        return f"{NOTHING}; asked were {', '.join(asked)}."
    routes = [option["key"] for option in view.menu if option["key"] != "answer"]
    if not routes:
        return f"{NOTHING}: there is neither a knowledge base nor a model to ask."
    nobody = all(option["key"] == "answer" for option in view.legal)
    if nobody and not any(reason.startswith(DUE) for reason in view.masked.values()):
        return f"{NOTHING}: nobody could be asked ({routes[0]}: {view.masked.get(routes[0], 'not asked')})."
    return f"{NOTHING}; nobody was asked."
