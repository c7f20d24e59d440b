"""What it would be worth to answer now: of two states, the one from which a better answer can be given is worth more.

A route is worth what it adds to this (LTRR's and R3AG's utility gain, per step); an answer, how much better it is than
what could have been said anyway. Summed over a run, that is the worth of its answer, less that of answering at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from router_graph.actions import Answer
from router_graph.evaluation.answers import bare
from router_graph.evaluation.gold import Gold
from router_graph.evaluation.metrics import f1
from router_graph.policies.closing import close
from router_graph.view import View


class Value(Protocol):
    """The worth of answering in this state, from 0 to 1."""

    name: str

    def __call__(self, view: View, gold: Gold) -> float:
        """Of what was found so far; nothing that came later is in the view."""


class Closing:
    """The F1 of what the closing policy would say, without a language model, from what was found."""

    name = "closing"

    def __call__(self, view: View, gold: Gold) -> float:
        """From 0 to 1."""
        said = close(view).actions[0]
        text = bare(said.text, view.evidence) if isinstance(said, Answer) else ""
        return f1(text, gold.answers) if text else 0.0


class Containment:
    """Whether a right answer stands in what was found, discounted where it is a needle in a haystack.

    Up to `most` documents count in full, twice as many half: so that asking for a hundred documents is no answer.
    Answers such as "yes" stand in any text, and count as found in none; so does what a model was asked to repeat.
    """

    name = "containment"

    def __init__(self, most: int = 10) -> None:
        self._most = most
        self.name = f"containment@{most}"

    def __call__(self, view: View, gold: Gold) -> float:
        """From 0 to 1."""
        texts = [f"{hit['title']} {hit['text']}" for hit in view.evidence]
        said = ((route, came) for _, route, came in view.routes() if route.kind == "llm" and came["status"] == "ok")
        texts += [came["text"] for route, came in said if not gold.stands_in([route.query])]
        if not gold.stands_in(texts):
            return 0.0
        return min(1.0, self._most / len(texts))


class Recorded:
    """Values that were computed before, as by asking a model for an answer in each state.

    `key` names a state, as `credit.states.state_key` does. Raises `KeyError` for a state that has no value.
    """

    def __init__(self, name: str, values: Mapping[str, float], key: Callable[[View], str]) -> None:
        self.name = f"recorded:{name}"
        self._values, self._key = values, key

    def __call__(self, view: View, gold: Gold) -> float:
        """The recorded one."""
        return self._values[self._key(view)]
