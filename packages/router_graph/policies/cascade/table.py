"""Recorded replies as numbers: the features of every candidate in every set of replies, and what reading is worth."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router_graph.errors import SettingsError
from router_graph.evaluation.metrics import exact_match
from router_graph.policies.cascade.candidates import heard
from router_graph.policies.cascade.features import features
from router_graph.policies.cascade.logistic import fit_logistic
from router_graph.policies.cascade.plan import Models, Outcomes, Values
from router_graph.pool.card import ModelCard
from router_graph.pool.price import Usage

PENALTY = 20.0
"""Of the squared weights, where one set of replies of each size counts 1. Chosen by cross-validation on NQ train."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, what is right, and what each model replied at which price. All by the model's id."""

    text: str
    golden: tuple[str, ...]
    replies: Mapping[str, str]
    usd: Mapping[str, float]

    @classmethod
    def of(cls, row: Mapping[str, Any], cards: Iterable[ModelCard]) -> Question:
        """Of a recorded row, as `ReplayTransport` reads it, with `golden_answers`. Raises `SettingsError`."""
        text, golden, responses = row.get("question"), row.get("golden_answers"), row.get("responses")
        if not isinstance(text, str) or not isinstance(golden, list) or not golden or not isinstance(responses, dict):
            raise SettingsError("A row to fit on has a `question`, `golden_answers` and `responses` by model.")
        replies, usd = {}, {}
        for card in cards:
            response = responses.get(card.id)
            usage = _usage(response) if isinstance(response, dict) else None
            if usage is None or not isinstance(response, dict) or not isinstance(response.get("text"), str):
                raise SettingsError(
                    f"The question {text[:60]!r} has no reply of {card.id!r} with `text` and `completion_tokens`; "
                    "leave out the model, or the question."
                )
            replies[card.id], usd[card.id] = response["text"], card.payable.cost(usage) / 10**12
        return cls(text, tuple(str(one) for one in golden), replies, usd)


@dataclass(frozen=True, slots=True)
class Table:
    """All candidates of all sets of up to so many models, for all questions. Rows of a set and a question lie together.

    `x` is (rows, features), `y` (rows,) 1 where the candidate is right, `question` and `group` (rows,) the places of
    its question and of its set.
    """

    names: tuple[str, ...]
    sets: tuple[Models, ...]
    x: Values
    y: Values
    question: NDArray[np.intp]
    group: NDArray[np.intp]
    places: Mapping[Models, tuple[tuple[int, int, int], ...]]
    """By set: question, first row, and the one behind the last, where there is a row."""
    usd: Mapping[str, Values]

    @classmethod
    def of(cls, questions: Sequence[Question], models: Sequence[str], *, most: int) -> Table:
        """Read all sets of 1 to `most` of the models."""
        said = [{model: heard(one.text, one.replies[model]) for model in models} for one in questions]
        sets = [chosen for size in range(1, most + 1) for chosen in combinations(models, size)]
        names: dict[str, int] = {}
        row, column, value = array("q"), array("q"), array("d")
        right, owner, group = array("d"), array("q"), array("q")
        places: dict[Models, list[tuple[int, int, int]]] = {frozenset(chosen): [] for chosen in sets}
        for number, chosen in enumerate(sets):
            for place, (one, replies) in enumerate(zip(questions, said, strict=True)):
                begin = len(right)
                for key, told in features(one.text, [replies[model] for model in chosen]).items():
                    for name, amount in told.items():
                        row.append(len(right))
                        column.append(names.setdefault(name, len(names)))
                        value.append(amount)
                    right.append(exact_match(key, one.golden))
                    owner.append(place)
                    group.append(number)
                if len(right) > begin:
                    places[frozenset(chosen)].append((place, begin, len(right)))
        x = np.zeros((len(right), len(names)))
        x[np.array(row, dtype=np.intp), np.array(column, dtype=np.intp)] = np.array(value)
        return cls(
            names=tuple(names),
            sets=tuple(places),
            x=x,
            y=np.array(right),
            question=np.array(owner, dtype=np.intp),
            group=np.array(group, dtype=np.intp),
            places={models: tuple(found) for models, found in places.items()},
            usd={model: np.array([one.usd[model] for one in questions]) for model in models},
        )

    def fit(self, train: NDArray[np.bool_], sets: Sequence[Models], start: Values | None = None) -> Values:
        """The weights (features,) of a reader of these sets, fitted on the questions of `train` (questions,).

        Sets of one, two, … replies count the same in all.
        """
        sizes = Counter(len(one) for one in sets)
        share = np.array([1 / sizes[len(one)] if one in sets else 0.0 for one in self.sets])
        weight = share[self.group] * train[self.question]
        rows = weight > 0
        return fit_logistic(self.x[rows], self.y[rows], weight[rows], penalty=PENALTY, start=start)

    def read(self, weights: Values, questions: NDArray[np.bool_], sets: Sequence[Models], into: Outcomes) -> None:
        """Write down what a reader with these weights makes of these questions, `questions` being (questions,)."""
        for models in sets:
            for place, begin, end in self.places[models]:
                if questions[place]:
                    z = self.x[begin:end] @ weights
                    best = int(z.argmax())
                    into.right[models][place] = self.y[begin + best]
                    into.confidence[models][place] = 1 / (1 + np.exp(-z[best]))

    def outcomes(self, sets: Sequence[Models]) -> Outcomes:
        """Room for what readers make of these sets: nothing is read yet."""
        n = len(next(iter(self.usd.values())))
        return Outcomes({one: np.zeros(n) for one in sets}, {one: np.zeros(n) for one in sets}, dict(self.usd))


def _usage(response: Mapping[str, Any]) -> Usage | None:
    """The tokens of a recorded reply; None where they were not recorded."""
    message = response.get("message")
    told = Usage.of_metadata(message.get("usage_metadata")) if isinstance(message, dict) else None
    count = response.get("completion_tokens")
    return told or (Usage(output=count) if type(count) is int and count >= 0 else None)
