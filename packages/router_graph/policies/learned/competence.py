"""Chooses by what each option is likely to be worth here, minus its price: what the learned policies share."""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from router_graph.actions import Action, Route, RouteToKB, RouteToLLM
from router_graph.limits import asked_before, essence
from router_graph.policies.closing import close
from router_graph.policies.heuristic import Heuristic
from router_graph.policies.learned.decided import State, state_of
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.policies.version import versioned
from router_graph.view import View

ALL_OF_IT = 0.1
"""The quality that all the money that is left is worth, where a turn has a limit: so thrift grows as it runs out."""
_TOLD_APART = 0.25
"""Standard errors of a difference up to which the cheaper is taken. More saves more money and loses answers."""
_GRID = 400
"""Points at which a density is looked at."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an option is worth in a state, as a Beta distribution of its quality."""

    good: float
    """Pseudo-counts, those of the prior among them; both above 0."""
    bad: float
    seen: int
    """How often the option was chosen where a run was as far, over all kinds of questions."""

    @property
    def mean(self) -> float:
        """The expected quality, from 0 to 1."""
        return self.good / (self.good + self.bad)

    @property
    def variance(self) -> float:
        """How unsure that is."""
        return self.mean * (1 - self.mean) / (self.good + self.bad + 1)


class ByCompetence(ChoicePolicy):
    """Takes the option with the highest E[quality] - λ · USD, each route at most once; then answers from what there is.
    Of those that the log can hardly tell from it, the cheapest is taken: nobody pays, or goes on, for chance.

    λ is `usd_weight`, the quality that a dollar is worth, or where the turn has a limit in USD at least `ALL_OF_IT` for
    all that is left. The price is that of the step alone, as the menu has it now. With `draws` the option is drawn with
    the probability that it is the best one (Thompson sampling). What was never tried so far into a run may be drawn,
    and is not taken. Where nothing is known, the heuristic decides; it also writes the queries that follow links. The
    draw depends on the view and its seed alone.
    """

    def __init__(self, name: str, data: str, *, usd_weight: float, draws: bool) -> None:
        self.name = name
        self.version = versioned(f"1-{data}", usd_weight, draws)
        self.usd_weight, self.draws = usd_weight, draws
        self._otherwise = Heuristic()

    @abstractmethod
    def estimates(self, question: str, state: State, keys: Sequence[str]) -> Mapping[str, Estimate]:
        """What these options are worth. One that was never tried has `seen` 0; or it is left out."""

    @property
    @abstractmethod
    def options(self) -> Iterable[str]:
        """The options that it knows of."""

    def choose(self, view: View) -> Choice:
        """The best option by what was learned."""
        if view.must_answer is not None:
            return _certain(view, "answer", self.answer(view))
        state, moves = state_of(view), self._moves(view)
        keys = [option["key"] for option in view.legal if option["key"] == "answer" or option["key"] in moves]
        known = self.estimates(view.question, state, keys)
        tried = {key: known[key] for key in keys if key in known and (self.draws or known[key].seen > 0)}
        if not any(one.seen > 0 for one in tried.values()):
            return self._fallback(view, state, moves)
        weight = usd_weight(self.usd_weight, view)
        prices = {key: weight * (option["usd"] if (option := view.option(key)) else 0.0) for key in tried}
        if not self.draws:
            best = _thrifty(tried, prices, {option["key"]: option["usd"] for option in view.menu})
            return _certain(view, best, self._to(best, view, moves, tried[best]))
        chances = best_chances(tried, prices)
        dice = random.Random(repr((view.seed, view.question, len(view.steps), self.version)))
        drawn = dice.choices(list(chances), list(chances.values()))[0]
        told = {option["key"]: chances.get(option["key"], 0.0) for option in view.legal}
        choice = self._to(drawn, view, moves, tried[drawn])
        return Choice(choice.thought, choice.actions, told, told[drawn])

    def answer(self, view: View, thought: str = "") -> Choice:
        """The answer from what there is. A subclass may write another."""
        return close(view, thought=thought)

    def _moves(self, view: View) -> dict[str, Route]:
        """The route to each legal option that can be asked something new."""
        planned = [one for one in self._otherwise.choose(view).actions if isinstance(one, RouteToKB)]
        better = {one.target: one for one in reversed(planned) if one.linked or one.query != view.question}
        routes: list[Route] = [better.get(f"kb:{name}") or RouteToKB(name, view.question) for name in view.names("kb")]
        evidence = bool(view.evidence)
        routes += [RouteToLLM(name, view.question, evidence=evidence) for name in view.names("llm")]
        asked = asked_before(view)
        return {one.target: one for one in routes if essence(one) not in asked}

    def _to(self, key: str, view: View, moves: Mapping[str, Route], estimate: Estimate) -> Choice:
        thought = f"{key} is worth about {estimate.mean:.2f} here ({estimate.seen} logged choices)."
        return self.answer(view, thought) if key == "answer" else Choice(thought, (moves[key],))

    def _fallback(self, view: View, state: State, moves: Mapping[str, Route]) -> Choice:
        """Nothing is known of such a state."""
        if state.stage == "found" or not moves:
            return _certain(view, "answer", self.answer(view))
        choice = self._otherwise.choose(view)
        models = [one for one in moves.values() if isinstance(one, RouteToLLM)]
        if isinstance(choice.actions[0], RouteToKB) or not models:
            return choice
        return _certain(view, models[0].target, Choice("Nothing else is left to ask.", (models[0],)))


def _thrifty(options: Mapping[str, Estimate], prices: Mapping[str, float], usd: Mapping[str, float]) -> str:
    """The cheapest of the best; of equals the answer, which ends the run, then the better one."""
    worth = {key: one.mean - prices[key] for key, one in options.items()}
    best = max(worth, key=worth.__getitem__)
    close = [
        key
        for key, one in options.items()
        if worth[best] - worth[key] <= _TOLD_APART * math.sqrt(one.variance + options[best].variance)
    ]
    return min(close, key=lambda key: (usd[key], key != "answer", -worth[key]))


def usd_weight(given: float, view: View) -> float:
    """λ: the quality that a dollar is worth in this state."""
    left = view.left["usd"]
    return given if not left else max(given, ALL_OF_IT / left)


def best_chances(options: Mapping[str, Estimate], prices: Mapping[str, float]) -> dict[str, float]:
    """The probability of each option that its quality minus its price is the highest, if all are independent.

    By quadrature over a grid of qualities; the numbers are those that are drawn from, so that they are exact as
    propensities. They add up to 1.
    """
    grid = [(n + 0.5) / _GRID for n in range(_GRID)]
    densities = {key: _density(one, grid) for key, one in options.items()}
    below = {key: _cumulated(one) for key, one in densities.items()}
    chances = {}
    for key, density in densities.items():
        total = 0.0
        for n, weight in enumerate(density):
            for other, cumulated in below.items():
                if other != key:
                    place = (grid[n] - prices[key] + prices[other]) * _GRID
                    weight *= _at(cumulated, place)
            total += weight
        chances[key] = total
    whole = sum(chances.values())
    return {key: chance / whole for key, chance in chances.items()}


def _density(one: Estimate, grid: Sequence[float]) -> list[float]:
    """The probability of each cell of the grid."""
    logs = [(one.good - 1) * math.log(x) + (one.bad - 1) * math.log1p(-x) for x in grid]
    # At its ends a density with less than one case has no bound: there its cell is integrated, not read in the middle.
    width, middle = 1 / len(grid), grid[0]
    logs[0] = (one.good - 1) * math.log(width) - math.log(one.good) + (one.bad - 1) * math.log1p(-middle)
    logs[-1] = (one.bad - 1) * math.log(width) - math.log(one.bad) + (one.good - 1) * math.log1p(-middle)
    most = max(logs)
    weights = [math.exp(log - most) for log in logs]
    whole = sum(weights)
    return [weight / whole for weight in weights]


def _cumulated(density: Sequence[float]) -> list[float]:
    """The probability below the left edge of each cell of the grid, and 1 at its end."""
    found, total = [0.0], 0.0
    for weight in density:
        total += weight
        found.append(total)
    return found


def _at(cumulated: Sequence[float], place: float) -> float:
    if place <= 0:
        return 0.0
    if place >= len(cumulated) - 1:
        return 1.0
    low = int(place)
    return cumulated[low] + (place - low) * (cumulated[low + 1] - cumulated[low])


def _certain(view: View, key: str, choice: Choice) -> Choice:
    actions: tuple[Action, ...] = choice.actions
    return Choice(choice.thought, actions, {one["key"]: float(one["key"] == key) for one in view.legal}, 1.0)
