"""Other worlds for a log, drawn at random: budgets, prices and menus that no run had, so that a policy learns to read
them instead of learning them by heart."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from router_graph.pool.card import ModelCard
from router_graph.pool.price import Price
from router_graph.trajectories.records import RunRecord
from router_training.credit.relabel import World, relabel
from router_training.errors import ConfigError
from router_training.rewards.facts import taken


@dataclass(frozen=True, slots=True)
class Draws:
    """What is drawn, for each run anew. Raises `ConfigError` for what cannot be."""

    budget: tuple[float, float] | None = (0.5, 4.0)
    """Between these multiples of what the run cost, evenly on a log scale."""
    price_factor: float = 3.0
    """Prices are multiplied by a factor between 1/this and this, each on its own; 1 leaves them."""
    leave_out: float = 0.2
    """How likely a source that the run did not ask is left off the menu."""
    cards: Mapping[str, ModelCard] = field(default_factory=dict)
    """By name: models whose card is known, so that it can state another price. The price of the others stays."""

    def __post_init__(self) -> None:
        low, high = self.budget or (1.0, 1.0)
        if not (0 < low <= high < float("inf") and 1 <= self.price_factor < float("inf") and 0 <= self.leave_out <= 1):
            raise ConfigError(
                "Budgets are drawn between two multiples above 0, prices by a factor of 1 or more, and sources left "
                f"out with a probability, and not {self.budget}, {self.price_factor}, {self.leave_out}."
            )


def draw(run: RunRecord, draws: Draws, *, seed: int = 0, number: int = 0) -> World:
    """The run's world of this number: the same for the same seed, on any machine."""
    chance = random.Random(f"{seed}/{number}/{run.run_id}")
    asked = {key for step in run.steps for route, came in taken(step.step) for key in (route.target, came["served"])}
    sources = [option for option in run.menu if option["key"] != "answer"]
    without = [one["key"] for one in sources if chance.random() < draws.leave_out and one["key"] not in asked]
    prices, cards = dict[str, float](), list[ModelCard]()
    for option in sources:
        factor = draws.price_factor ** chance.uniform(-1, 1)
        kind, _, name = option["key"].partition(":")
        if draws.price_factor == 1 or option["usd"] == 0 or option["key"] in without:
            continue
        if kind == "kb":
            prices[option["key"]] = option["usd"] * factor
        elif (card := draws.cards.get(name)) is not None:
            cards.append(_repriced(card, factor))
    models = World.of_cards(cards)
    usd = None
    if draws.budget is not None and run.usd > 0:
        low, high = draws.budget
        usd = run.usd * low * (high / low) ** chance.random()
    return World(usd=usd, prices={**prices, **models.prices}, descriptions=models.descriptions, without=without)


def worlds(
    runs: Iterable[RunRecord], draws: Draws | None = None, *, count: int = 1, seed: int = 0
) -> Iterator[RunRecord]:
    """Each run in `count` worlds, cut where it could not have gone on; those of which nothing is left are missing."""
    for run in runs:
        for number in range(count):
            told = relabel(run, draw(run, draws or Draws(), seed=seed, number=number))
            if told is not None:
                yield told


def _repriced(card: ModelCard, factor: float) -> ModelCard:
    rates = card.payable.model_dump(exclude_none=True)
    changed = {name: rate * factor for name, rate in rates.items() if isinstance(rate, int | float)}
    return card.model_copy(update={"price": Price(**{**rates, **changed}), "ceiling": None})
