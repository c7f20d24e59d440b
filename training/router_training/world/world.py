"""The world: knowledge bases, two models of equal skill whose prices change, and what is best in each state."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.graph.state import CompiledStateGraph

from router_graph.context import RouterContext
from router_graph.graph import create_router
from router_graph.policies.policy import Policy
from router_graph.pool import Live, ModelCard, ModelPool, Price
from router_graph.view import View
from router_training.world.adder import Adder
from router_training.world.library import Library
from router_training.world.questions import NUMBERS, SUBJECTS, Question, all_questions

PRICES = (0.001, 0.002, 0.004)
"""USD per call that a model may have."""
Prices = tuple[float, float]
"""Of `llm:one` and `llm:two`."""
PRICE_PAIRS: tuple[Prices, ...] = tuple(itertools.permutations(PRICES, 2))
MODELS = ("one", "two")
SEARCH_USD = 0.0005
MAX_STEPS = 2
PHRASES = (": $0.00 in / $0.00 out per million tokens,", " for 500 tokens in and 200 out.")
"""What every model's card says besides its price."""


@dataclass(frozen=True)
class World:
    """`without` are knowledge bases that are not there, and whose questions are not asked."""

    without: frozenset[str] = frozenset()
    subjects: Mapping[str, Sequence[str]] = field(default_factory=lambda: SUBJECTS)

    def questions(self) -> list[Question]:
        """All that can be asked."""
        return [one for one in all_questions(self.subjects) if one.kb not in self.without]

    def knowledge(self) -> list[Library]:
        """The knowledge bases, each described by its subjects."""
        texts: dict[str, dict[str, str]] = {kb: {} for kb in self.subjects}
        for one in all_questions(self.subjects):
            if one.kb:
                texts[one.kb][one.documents[0].partition(":")[2]] = f"{one.text} is {one.answer}"
        return [
            Library(kb, " ".join(known), texts[kb], cost_usd=SEARCH_USD)
            for kb, known in self.subjects.items()
            if kb not in self.without
        ]

    def pool(self, prices: Prices) -> ModelPool:
        """The two models, at these prices."""
        cards = [
            ModelCard(name=name, transport="adder", price=Price(input=0.0, output=0.0, per_call=usd), max_tokens=16)
            for name, usd in zip(MODELS, prices, strict=True)
        ]
        return _Still(cards, transports={"adder": Adder()})

    def graph(
        self, policy: Policy | str, prices: Prices, **options: Any
    ) -> CompiledStateGraph[Any, RouterContext, Any, Any]:
        """A real graph in this world."""
        defaults = RouterContext(max_steps=MAX_STEPS, k=1, protocol="brief")
        return create_router(self.knowledge(), pool=self.pool(prices), policy=policy, defaults=defaults, **options)

    def best(self, view: View, question: Question) -> frozenset[str]:
        """The options that are best in this state: that lead to the right answer, at the least price.

        Empty where nothing leads there any more.
        """
        if question.kind == "say" or is_found(view, question):
            return frozenset({"answer"})
        usd = {option["key"]: option["usd"] for option in view.legal}
        if question.kind == "search":
            return frozenset({f"kb:{question.kb}"} & usd.keys())
        models = {key: price for key, price in usd.items() if key.startswith("llm:")}
        return frozenset(key for key, price in models.items() if price == min(models.values()))


class _Still(ModelPool):
    """What a card says of its model does not depend on the calls before: a run can be repeated to the letter."""

    def live(self, name: str) -> Live:
        """As before the first call."""
        return Live()


def is_found(view: View, question: Question) -> bool:
    """Whether the answer stands in what was found."""
    if question.kind == "search":
        return any(f"{hit['kb']}:{hit['doc_id']}" in question.documents for hit in view.evidence)
    return any(came["text"] == question.answer for _, route, came in view.routes() if route.kind == "llm")


def answer_in(view: View) -> str | None:
    """The answer that was found to the question, by whoever looks; None where none was."""
    for hit in view.evidence:
        text, _, value = hit["text"].rpartition(" is ")
        if text == view.question:
            return value
    said = [came["text"] for _, route, came in view.routes() if route.kind == "llm" and came["status"] == "ok"]
    return next((one for one in said if one in NUMBERS), None)
