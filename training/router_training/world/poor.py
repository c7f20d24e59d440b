"""A policy that knows how to write and not whom to ask: what logs are made by before anything is learned."""

from __future__ import annotations

import random

from router_graph.actions import Action, Answer, RouteToKB, RouteToLLM
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.view import View
from router_training.world.questions import UNKNOWN
from router_training.world.world import answer_in


class Poor(ChoicePolicy):
    """Asks the atlas most of all, whatever the question; now and then it does what is best, and now and then anything.
    The probabilities are logged.

    It asks the question as it is, and answers with what was found, or with the word that it is told to say. `best`
    is the weight of the option that is best, `favourite` that of the atlas; that of the others is 1. So about one
    run in eight has the best of routes.
    """

    name = "poor"

    def __init__(self, *, best: float = 6.0, favourite: float = 12.0) -> None:
        self._best, self._favourite = best, favourite

    def choose(self, view: View) -> Choice:
        """Any of the legal options."""
        keys = [option["key"] for option in view.legal]
        best = _best(view)
        weights = [self._best if key == best else self._favourite if key == "kb:atlas" else 1.0 for key in keys]
        place = random.Random(repr((view.seed, view.question, len(view.steps)))).choices(range(len(keys)), weights)[0]
        chances = [one / sum(weights) for one in weights]
        action = action_to(keys[place], view)
        return Choice("", (action,), dict(zip(keys, chances, strict=True)), chances[place])


def _best(view: View) -> str:
    """What one would choose who reads the menu."""
    if answer_in(view) or view.question.startswith("say "):
        return "answer"
    asked = set(view.question.split())
    usd = {option["key"]: option["usd"] for option in view.legal if option["key"].startswith("llm:")}
    knows = (o["key"] for o in view.legal if o["key"].startswith("kb:") and asked & set(o["description"].split()))
    return next(knows, min(usd, key=usd.__getitem__, default="answer"))


def action_to(key: str, view: View) -> Action:
    """The action for an option, well written."""
    kind, _, name = key.partition(":")
    if kind == "kb":
        return RouteToKB(name, view.question)
    if kind == "llm":
        return RouteToLLM(name, view.question)
    said = view.question.removeprefix("say ")
    return Answer(said if said != view.question else answer_in(view) or UNKNOWN)
