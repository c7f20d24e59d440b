"""Which models of a pool a cascade asks, in which order: the fitted ones, or others by price and measured accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router_graph.pool.card import ModelCard


def chain_of(cards: Mapping[str, ModelCard], fitted: Sequence[str]) -> list[str]:
    """Names of the pool's models: those that were fitted, in that order, or where it has none of them `price_chain`.

    A model is the fitted one if its card has the same id or name, or the same last part of the id: providers write one
    model as `google/gemma-2-27b-it` and `openrouter/google/gemma-2-27b-it`.
    """
    found = [name for model in fitted for name in _same(cards, model)[:1]]
    return list(dict.fromkeys(found)) or price_chain(cards, most=len(fitted))


def price_chain(cards: Mapping[str, ModelCard], *, most: int) -> list[str]:
    """Up to `most` models that are worth asking one after the other, the cheapest first.

    Where all were measured on the same tasks, a model that is no more accurate than a cheaper one is left out. Else the
    price is taken for the strength, which is a guess and no more. Of too many, the cheapest, the dearest, and what is
    evenly between them.
    """
    tasks = {card.measured.on if card.measured else None for card in cards.values()}
    is_measured = len(tasks) == 1 and None not in tasks
    front: list[str] = []
    best = -1.0
    for name in sorted(cards, key=lambda one: (_usd(cards[one]), -_accuracy(cards[one]))):
        if not is_measured or _accuracy(cards[name]) > best:
            front.append(name)
            best = _accuracy(cards[name])
    if len(front) <= most:
        return front
    last = max(most - 1, 1)
    return [front[round(n * (len(front) - 1) / last)] for n in range(most)]


def _same(cards: Mapping[str, ModelCard], model: str) -> list[str]:
    """The cards of a model, the surest first."""
    exact = [name for name, card in cards.items() if model in (card.id, name)]
    end = model.rpartition("/")[2].lower()
    return exact + [name for name, card in cards.items() if card.id.rpartition("/")[2].lower() == end]


def _usd(card: ModelCard) -> float:
    return card.payable.input + card.payable.output


def _accuracy(card: ModelCard) -> float:
    return card.measured.accuracy if card.measured else 0.0
