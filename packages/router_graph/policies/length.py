"""The length of a question alone chooses the model: what a router that reads the question has to beat."""

from __future__ import annotations

from router_graph.policies.models import OneModel, by_price
from router_graph.policies.version import versioned
from router_graph.view import View


class PromptLength(OneModel):
    """The longer the question, the dearer the model: up to `words` words the cheapest, up to twice as many the next.

    Where a model gives no reply, the next dearer is asked, and after the dearest the cheaper ones.
    """

    name = "prompt-length"

    def __init__(self, words: int = 4) -> None:
        self.version = versioned("1", words if words != 4 else None)
        self._words = words

    def order(self, view: View) -> list[str]:
        """The model of this length first."""
        models = by_price(view, dearest_first=False)
        place = min(len(models) - 1, max(0, len(view.question.split()) - 1) // self._words)
        return [*models[place:], *reversed(models[:place])]
