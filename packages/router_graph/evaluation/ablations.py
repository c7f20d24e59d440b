"""What a policy reads, changed on purpose: one that reads its cards does worse, one that does not stays as it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from router_graph.errors import EvaluationError
from router_graph.pool.pool import ModelPool
from router_graph.resources import Resources
from router_graph.state import Option

_Change = Callable[[list[Option]], list[Option]]


def _off(options: list[Option]) -> list[Option]:
    return [{**option, "description": "" if option["key"] != "answer" else option["description"]} for option in options]


def _shuffled(options: list[Option]) -> list[Option]:
    """Each option has another's description, of its own sort; the same in each turn."""
    drawn = dict[str, str]()
    for sort in ("kb:", "llm:"):
        keys = [option["key"] for option in options if option["key"].startswith(sort)]
        texts = {option["key"]: option["description"] for option in options}
        order = keys[:]
        random.Random(repr(keys)).shuffle(order)
        drawn |= {key: texts[order[(order.index(key) + 1) % len(order)]] for key in keys}
    return [{**option, "description": drawn.get(option["key"], option["description"])} for option in options]


def _invert_prices(pool: ModelPool) -> None:
    """The cheapest model takes the price of the dearest, and so on; the bills follow."""
    cards = pool.cards
    by_price = sorted(cards, key=lambda name: cards[name].payable.worst_case(500, 200))
    prices = [cards[name].payable for name in by_price]
    for name, price in zip(by_price, reversed(prices), strict=True):
        pool.reprice(name, price)


ABLATIONS: Mapping[str, str] = {
    "cards-off": "options have names and no descriptions",
    "cards-shuffled": "each option has another's description",
    "prices-inverted": "the cheapest model costs what the dearest did, and so on",
}
"""What can be changed, each in a few words."""
_MENUS: Mapping[str, _Change] = {"cards-off": _off, "cards-shuffled": _shuffled}


class _Changed(Resources):
    """Other resources, whose menu reads otherwise."""

    def __init__(self, resources: Resources, change: _Change) -> None:
        self.__dict__.update(vars(resources))
        self._change = change

    def menu(self) -> list[Option]:
        """The menu as it is to be read."""
        return self._change(super().menu())


def ablated(resources: Resources, name: str) -> Resources:
    """The resources, changed. Raises `EvaluationError` for an ablation that there is not, or that changes nothing."""
    if name not in ABLATIONS:
        raise EvaluationError(f"There is no ablation {name!r}; there is {', '.join(ABLATIONS)}.")
    if name == "prices-inverted":
        if resources.pool is None or len(resources.pool.cards) < 2:
            raise EvaluationError("prices-inverted needs two models or more, and there are fewer.")
        _invert_prices(resources.pool)
        return resources
    return _Changed(resources, _MENUS[name])
