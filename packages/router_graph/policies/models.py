"""Policies that ask one model and answer with its reply: the named, the cheapest, the strongest, any."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence

from router_graph.actions import Answer, RouteToLLM
from router_graph.policies.closing import close
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.policies.replies import answer_in, asked_models, replies
from router_graph.policies.version import versioned
from router_graph.pool.card import ModelCard
from router_graph.state import Option
from router_graph.view import View


class OneModel(ChoicePolicy):
    """Asks the first model of its order the question itself, without documents, and answers with the reply. Where a
    model gives none, the next is asked."""

    @abstractmethod
    def order(self, view: View) -> list[str]:
        """The models to ask, best first, legal ones only."""

    def choose(self, view: View) -> Choice:
        """Ask, or answer."""
        if said := replies(view):
            model, reply = list(said.items())[-1]
            return self._certain(view, Choice(f"{model} has answered.", (Answer(answer_in(reply)),)))
        asked = asked_models(view)
        left = [] if view.must_answer else [name for name in self.order(view) if name not in asked]
        if not left:
            return self._certain(view, close(view))
        return self.ask(view, left)

    def ask(self, view: View, left: Sequence[str]) -> Choice:
        """Ask one of the models that were not asked yet; there is at least one."""
        return Choice(f"{left[0]} is asked.", (RouteToLLM(left[0], view.question),))

    def _certain(self, view: View, choice: Choice) -> Choice:
        return choice


class Direct(OneModel):
    """No retrieval and no second try: this model, or where none is named the strongest, answers at once."""

    def __init__(self, model: str | None = None, *, ranking: Sequence[str] | None = None) -> None:
        self.name = "direct" if model is None else f"direct:{model}"
        self.version = versioned("1", *(ranking or ()))
        self._model, self._ranking = model, tuple(ranking or ())

    def order(self, view: View) -> list[str]:
        """The one model, until one was asked."""
        if asked_models(view):
            return []
        legal = ranked(view, self._ranking)
        return [name for name in legal if self._model in (None, name)][:1]


class Cheapest(OneModel):
    """The model whose typical call costs least; of equals, the first of the menu."""

    name = "cheapest"

    def order(self, view: View) -> list[str]:
        """The cheapest first."""
        return by_price(view, dearest_first=False)


class Strongest(OneModel):
    """The best model of a ranking, which `strongest_first` makes of a pool's cards; those that it does not name come
    last, the dearest first. Without a ranking the dearest counts as the strongest, which is a guess and no more."""

    name = "strongest"

    def __init__(self, ranking: Sequence[str] | None = None) -> None:
        self._ranking = tuple(ranking or ())
        self.version = versioned("1", *self._ranking)

    def order(self, view: View) -> list[str]:
        """The strongest first."""
        return ranked(view, self._ranking)


class RandomModel(OneModel):
    """Any model, each with the same probability, which is logged: the policy to explore with, and to compare with.

    The same for the same view and the same two seeds, its own and the view's.
    """

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.version = versioned("1", seed)

    def order(self, view: View) -> list[str]:
        """As on the menu; `ask` draws."""
        return view.names("llm")

    def ask(self, view: View, left: Sequence[str]) -> Choice:
        """Draw one of the models that were not asked yet."""
        seeds = (self._seed, view.seed, len(view.steps), view.question)
        drawn = random.Random(repr(seeds)).choice(left)
        chance = 1 / len(left)
        probabilities = {option["key"]: 0.0 for option in view.legal} | {f"llm:{name}": chance for name in left}
        return Choice(f"{drawn} was drawn.", (RouteToLLM(drawn, view.question),), probabilities, chance)

    def _certain(self, view: View, choice: Choice) -> Choice:
        probabilities = {option["key"]: 0.0 for option in view.legal} | {"answer": 1.0}
        return Choice(choice.thought, choice.actions, probabilities, 1.0)


def ranked(view: View, ranking: Sequence[str]) -> list[str]:
    """The legal models in the order of the ranking, then the others, the dearest first."""
    places = {name: place for place, name in enumerate(ranking)}
    return sorted(by_price(view, dearest_first=True), key=lambda name: places.get(name, len(places)))


def strongest_first(cards: Mapping[str, ModelCard]) -> list[str]:
    """The models by measured accuracy; where not all were measured on the same tasks, by price, the dearest first.

    Accuracies on different tasks do not compare, nor does one with none. Of equals, the cheaper, then the earlier.
    """
    tasks = {card.measured.on if card.measured else None for card in cards.values()}
    is_measured = len(tasks) == 1 and None not in tasks

    def strength(name: str) -> tuple[float, float]:
        card = cards[name]
        usd = card.payable.input + card.payable.output
        return (-card.measured.accuracy, usd) if is_measured and card.measured else (-usd, 0.0)

    return sorted(cards, key=strength)


def by_price(view: View, *, dearest_first: bool) -> list[str]:
    """The legal models by the price of a typical call; of equals, as on the menu."""

    def usd(name: str) -> float:
        option: Option | None = view.option(f"llm:{name}")
        return 0.0 if option is None else option["usd"]

    return sorted(view.names("llm"), key=lambda name: -usd(name) if dearest_first else usd(name))
