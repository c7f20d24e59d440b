"""Answers that know nothing, which a metric must not reward: if one of them scores, the metric is at fault."""

from __future__ import annotations

from router_graph.actions import Answer, RouteToKB, RouteToLLM
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.view import View


class Echo(ChoicePolicy):
    """Answers with the question."""

    name = "echo the question"

    def choose(self, view: View) -> Choice:
        """The question."""
        return Choice("", (Answer(view.question),))


class YesNo(ChoicePolicy):
    """Answers with both."""

    name = "yes no"

    def choose(self, view: View) -> Choice:
        """Yes and no."""
        return Choice("", (Answer("yes no"),))


class Everything(ChoicePolicy):
    """Asks everybody, and answers with all that came back."""

    name = "all that was found"

    def choose(self, view: View) -> Choice:
        """Ask, then repeat."""
        came = [observation for _, _, observation in view.routes()]
        if came or view.must_answer:
            texts = [hit["text"] for one in came for hit in one["hits"]] + [one["text"] for one in came if one["text"]]
            return Choice("", (Answer("\n".join(texts) or "nothing"),))
        routes = [RouteToKB(name, view.question) for name in view.names("kb")]
        models = [RouteToLLM(name, view.question) for name in view.names("llm")]
        return Choice("", (*routes, *models)) if routes or models else Choice("", (Answer("nothing"),))


CONTROLS = (Echo, YesNo, Everything)
