"""Ask every knowledge base at once, keep what supports the question, answer."""

from __future__ import annotations

from router_graph.actions import Answer, RouteToKB, RouteToLLM
from router_graph.policies.closing import close
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.policies.replies import answer_in, asked_models, replies
from router_graph.policies.verify import supporting, with_source
from router_graph.policies.version import versioned
from router_graph.view import View


class FanOut(ChoicePolicy):
    """Does not predict the source: searches all, then verifies which documents to keep (RealRoute, arXiv 2604.20860).

    RealRoute verifies with a language model and fixed quotas of documents; here a document is kept for the words that
    it shares with the question. When searches are nearly free, this is what a router has to beat on cost at equal
    recall.

    `compose` is a model that writes the answer from all that was found; without one, or where it fails, the answer is
    extracted from the kept documents. `k` is how many documents of each knowledge base, `keep` how many are kept.
    """

    def __init__(self, compose: str | None = None, *, k: int | None = None, keep: int = 3) -> None:
        self.name = "fanout" if compose is None else f"fanout:{compose}"
        self.version = versioned("1", k, keep if keep != 3 else None)
        self._compose, self._k, self._keep = compose, k, keep

    def choose(self, view: View) -> Choice:
        """Search all, then compose if a model is to, then answer."""
        if compose := self._composed(view):
            return compose
        kept = supporting(view.question, view.evidence, most=self._keep)
        if view.must_answer:
            return close(view, hits=kept)
        kbs = view.names("kb")
        if kbs and not any(isinstance(action, RouteToKB) for _, action in view.actions()):
            routes = tuple(RouteToKB(kb, view.question, self._k) for kb in kbs)
            return Choice(f"All are searched: {', '.join(kbs)}.", routes)
        model = self._compose
        if model is not None and model in view.names("llm") and model not in asked_models(view):
            return Choice(f"{model} writes the answer.", (RouteToLLM(model, view.question, evidence=True),))
        return close(view, hits=kept)

    def _composed(self, view: View) -> Choice | None:
        said = None if self._compose is None else replies(view).get(self._compose)
        if said is None:
            return None
        answer = with_source(answer_in(said), view.evidence)
        return Choice(f"{self._compose} has written the answer.", (Answer(answer),))
