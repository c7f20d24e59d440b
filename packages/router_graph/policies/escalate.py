"""Ask the cheapest model, and a dearer one only where the reply gives no short answer."""

from __future__ import annotations

from router_graph.actions import Answer, RouteToLLM
from router_graph.policies.closing import close
from router_graph.policies.models import by_price
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.policies.replies import asked_models, replies, tagged_answer
from router_graph.policies.version import versioned
from router_graph.view import View

SHORT = 6
"""Words of a reply that answers, and does not explain why it cannot."""


class Escalate(ChoicePolicy):
    """Up the prices, `most` models at the most, until one answers in a few words; else with what the last one said."""

    name = "escalate"

    def __init__(self, most: int = 3) -> None:
        self.version = versioned("1", most if most != 3 else None)
        self._most = most

    def choose(self, view: View) -> Choice:
        """Answer, or ask the next."""
        said = list(replies(view).values())
        if said and (short := _short(said[-1])):
            return Choice("The reply is a short answer.", (Answer(short),))
        asked = asked_models(view)
        left = [name for name in by_price(view, dearest_first=False) if name not in asked]
        if view.must_answer or not left or len(asked) >= self._most:
            return close(view)
        return Choice(f"{left[0]} is asked.", (RouteToLLM(left[0], view.question),))


def _short(reply: str) -> str:
    answer = tagged_answer(reply)
    answer = reply.strip() if answer is None else answer
    return answer if answer and len(answer.split()) <= SHORT else ""
