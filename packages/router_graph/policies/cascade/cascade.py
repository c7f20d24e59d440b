"""Ask one model, read its reply, and ask the next only where that is not sure enough."""

from __future__ import annotations

from collections.abc import Sequence

from router_graph.actions import Answer, RouteToLLM
from router_graph.policies.cascade.fitted import Fitted
from router_graph.policies.closing import close
from router_graph.policies.models import ranked
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.policies.replies import asked_models, replies
from router_graph.policies.version import versioned
from router_graph.view import View


class Cascade(ChoicePolicy):
    """Answers with the short answer that its reader finds likeliest in the replies so far, once that is likely enough.

    Cheap models before dear ones, as far as a question needs them, is FrugalGPT (arXiv 2305.05176), whose scorer is a
    language model fitted on one model's replies. Ours reads all replies together, by a logistic regression over spans:
    agreement of models is its strongest feature. It is made for questions that have a short answer.

    `chain` are the names of the pool's models, or else the fitted ones. A model that does not reply, or that the budget
    does not allow, is passed over; where none of the chain has replied, the other models are asked, best first by the
    `ranking`. The confidence that is enough depends on how many replies there are.
    """

    name = "cascade"

    def __init__(
        self, fitted: Fitted, *, chain: Sequence[str] | None = None, ranking: Sequence[str] | None = None
    ) -> None:
        self.fitted, self._ranking = fitted, tuple(ranking or ())
        self.chain = fitted.chain if chain is None else tuple(chain)
        data = fitted.learned.get("questions")
        self.seen = frozenset(fitted.learned.get("marks", ()))
        weights = sorted(fitted.reader.weights.items())
        self.version = versioned("1", data, self.chain, fitted.stops, weights, self._ranking)

    def choose(self, view: View) -> Choice:
        """Ask the next model, or answer."""
        said = list(replies(view).values())
        left = [] if view.must_answer else self._left(view, any_model=not said)
        if not said:
            return self._ask(view, left[0], "") if left else close(view)
        read = self.fitted.reader.read(view.question, said)
        saw = f"{read.backers} of {len(said)} replies contain it, confidence {read.confidence:.2f}"
        enough = self._enough(len(said))
        if left and read.confidence < enough:
            return self._ask(view, left[0], f"{saw}, below {enough:.2f}. " if read.answer else "No short answer yet. ")
        return Choice(f"{saw}.", (Answer(read.answer),)) if read.answer else close(view)

    def _left(self, view: View, *, any_model: bool) -> list[str]:
        """The models that can still be asked, in order."""
        legal = view.names("llm")
        order = [name for name in self.chain if name in legal]
        if any_model:
            order += [name for name in ranked(view, self._ranking) if name not in order]
        asked = asked_models(view)
        return [name for name in order if name not in asked]

    def _enough(self, n: int) -> float:
        """The confidence from which n replies are enough."""
        stops = self.fitted.stops
        return stops[min(n, len(stops)) - 1] if stops else 0.0

    def _ask(self, view: View, name: str, saw: str) -> Choice:
        return Choice(f"{saw}{name} is asked.", (RouteToLLM(name, view.question),))
