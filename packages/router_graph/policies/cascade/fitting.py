"""Recorded replies → a fitted cascade, with a figure that is honest about how it was chosen."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router_graph.errors import SettingsError
from router_graph.evaluation.metrics import exact_match
from router_graph.evaluation.questions import fingerprint, mark_of
from router_graph.policies.cascade.fitted import Fitted
from router_graph.policies.cascade.plan import Models, Outcomes, Plan, Ran, Values, best_plans, plans
from router_graph.policies.cascade.reader import Reader
from router_graph.policies.cascade.table import Question, Table
from router_graph.policies.replies import answer_in
from router_graph.pool.card import ModelCard

LEAST = 50
"""Questions below which nothing is fitted."""


def fit_cascade(rows: Iterable[Mapping[str, Any]], cards: Sequence[ModelCard], *, usd: float, **options: Any) -> Fitted:
    """The cascade of some of these models that is right most often at a mean cost of up to `usd` per question.

    The `options` are those of `fit_cascades`, where the rest is said.
    """
    return fit_cascades(rows, cards, [usd], **options)[0]


def fit_cascades(
    rows: Iterable[Mapping[str, Any]],
    cards: Sequence[ModelCard],
    limits: Sequence[float],
    *,
    seed: int = 0,
    folds: int = 5,
    most: int = 3,
    told: Mapping[str, Any] | None = None,
) -> list[Fitted]:
    """A cascade for each cost limit, in USD per question. `rows` are recordings, see `Question.of`.

    First one reader of all sets of replies compares all chains of up to `most` models; then a reader of the stages of
    the best chain is fitted, and its stops are chosen. Both choices see only what readers make of questions that they
    were not fitted on. The figures under `cv` are nested: all of this again without the questions of a fold, which are
    then answered (Cawley & Talbot, JMLR 11, 2010). `told` goes into the file, such as the command. Deterministic for a
    seed. Raises `SettingsError`.
    """
    questions = [Question.of(row, cards) for row in rows]
    if len(questions) < max(LEAST, folds) or not cards:
        raise SettingsError(
            f"A cascade is fitted on {LEAST} questions or more, and at least one model; given were {len(questions)} "
            f"questions and {len(cards)} models."
        )
    if not limits or not all(one > 0 for one in limits) or folds < 3 or most < 1:
        raise SettingsError("A limit is above 0, in USD per question; `folds` are at least 3, and `most` at least 1.")
    models = [card.id for card in cards]
    table = Table.of(questions, models, most=min(most, len(models)))
    if not table.y.any():
        raise SettingsError("No reply holds a golden answer as a name, a number or a marked text: nothing to learn.")
    fold = _folds(len(questions), folds, seed)
    chooser = _Chooser(table, fold, plans(models, most=most), limits)
    parts = [chooser.held_out(one) for one in range(folds)]
    learned = {
        **(told or {}),
        "n": len(questions),
        "questions": fingerprint(one.text for one in questions),
        "seed": seed,
        "folds": folds,
        "most": most,
        "single": {one: figures(_single(questions, one)) for one in models},
        "marks": sorted(mark_of(one.text) for one in questions),
    }
    prices = {card.id: [card.payable.input, card.payable.output] for card in cards}
    found = []
    for place, (plan, reader) in enumerate(chooser.choose(None)):
        facts = {
            **learned,
            "limit_usd": limits[place],
            "usd_per_million": {one: prices[one] for one in plan.chain},
            "cv": figures(_together([part[place] for part in parts])),
        }
        weights = {name: round(float(w), 4) for name, w in zip(table.names, reader, strict=True) if round(w, 4)}
        found.append(Fitted(plan.chain, plan.stops, Reader(dict(sorted(weights.items()))), facts))
    return found


class _Chooser:
    """Chooses plan and reader for each limit, on all questions or without a fold."""

    def __init__(self, table: Table, fold: NDArray[np.intp], among: Sequence[Plan], limits: Sequence[float]) -> None:
        self._table, self._fold, self._among, self._limits = table, fold, among, limits
        self._start = table.fit(fold >= 0, table.sets)
        self._fits: dict[tuple[frozenset[int | None], tuple[Models, ...]], Values] = {}

    def choose(self, held: int | None) -> list[tuple[Plan, Values]]:
        """For each limit the plan, and the weights of its reader; the fold `held` has no part in it."""
        first = best_plans(self._unseen(held, self._table.sets), self._among, self._limits)
        found = []
        for limit, plan in zip(self._limits, first, strict=True):
            sets = _stages(plan)
            same = [one for one in self._among if one.chain == plan.chain]
            (best,) = best_plans(self._unseen(held, sets), same, [limit])
            found.append((best, self._fit({held}, sets)))
        return found

    def held_out(self, held: int) -> list[Ran]:
        """For each limit, what is chosen without this fold makes of its questions."""
        ran = []
        for plan, weights in self.choose(held):
            sets, chosen = _stages(plan), self._fold == held
            into = self._table.outcomes(sets)
            self._table.read(weights, chosen, sets, into)
            ran.append(into.at(np.flatnonzero(chosen)).run(plan))
        return ran

    def _unseen(self, held: int | None, sets: tuple[Models, ...]) -> Outcomes:
        """What readers make of the questions outside `held`, each fitted without the question's own fold too."""
        into = self._table.outcomes(sets)
        for one in range(int(self._fold.max()) + 1):
            if one != held:
                self._table.read(self._fit({one, held}, sets), self._fold == one, sets, into)
        return into.at(np.flatnonzero(self._fold != (-1 if held is None else held)))

    def _fit(self, without: set[int | None], sets: tuple[Models, ...]) -> Values:
        """The reader of these sets fitted without these folds."""
        key = frozenset(without), sets
        if key not in self._fits:
            train = ~np.isin(self._fold, [one for one in without if one is not None])
            self._fits[key] = self._table.fit(train, sets, self._start)
        return self._fits[key]


def _stages(plan: Plan) -> tuple[Models, ...]:
    """The sets of replies that a plan reads."""
    return tuple(frozenset(plan.chain[:n]) for n in range(1, len(plan.chain) + 1))


def figures(ran: Ran) -> dict[str, Any]:
    """EM with its 95 % interval (Wilson, 1927), mean USD and mean calls of a question."""
    n, em = len(ran.right), float(ran.right.mean())
    z = 1.96
    middle, spread = em + z * z / (2 * n), z * math.sqrt(em * (1 - em) / n + z * z / (4 * n * n))
    return {
        "em": round(em, 4),
        "em_95": [round(max(0.0, middle + side * spread) / (1 + z * z / n), 4) for side in (-1, 1)],
        "usd": float(f"{ran.usd.mean():.4g}"),
        "calls": round(float(ran.calls.mean()), 3),
    }


def _single(questions: Sequence[Question], model: str) -> Ran:
    """One model's replies as they are: the tagged answer, or else all of it."""
    right = np.array([exact_match(answer_in(one.replies[model]), one.golden) for one in questions])
    return Ran(right, right, np.array([one.usd[model] for one in questions]), np.ones(len(questions)))


def _together(parts: Sequence[Ran]) -> Ran:
    return Ran(*(np.concatenate([getattr(one, name) for one in parts]) for name in Ran.__dataclass_fields__))


def _folds(n: int, folds: int, seed: int) -> NDArray[np.intp]:
    """(questions,): the fold of each, drawn by the seed."""
    order = list(range(n))
    random.Random(seed).shuffle(order)
    fold = np.zeros(n, dtype=np.intp)
    fold[order] = np.arange(n) % folds
    return fold
