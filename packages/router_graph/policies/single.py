"""One knowledge base, one search, one answer: what every router over knowledge bases has to beat."""

from __future__ import annotations

from router_graph.actions import RouteToKB
from router_graph.policies.closing import close
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.view import View


class OneKnowledgeBase(ChoicePolicy):
    """Searches this knowledge base for the question, and answers from what is found. `k` is how many documents."""

    def __init__(self, kb: str, *, k: int | None = None) -> None:
        self.name = f"kb:{kb}"
        self._route = RouteToKB(kb, "", k)

    def choose(self, view: View) -> Choice:
        """Search once, then answer."""
        kb, k = self._route.kb, self._route.k
        searched = any(action.target == f"kb:{kb}" for _, action in view.actions())
        if searched or view.must_answer or kb not in view.names("kb"):
            return close(view)
        return Choice(f"{kb} is searched.", (RouteToKB(kb, view.question, k),))
