"""Fitting a cascade: the regression is at its optimum, plans do what they say, and figures are honest."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.errors import SettingsError
from router_graph.evaluation.questions import mark_of
from router_graph.policies.cascade import load
from router_graph.policies.cascade.fitting import fit_cascade
from router_graph.policies.cascade.logistic import fit_logistic
from router_graph.policies.cascade.plan import ALWAYS, Outcomes, Plan, best_plans, plans
from router_graph.policies.cascade.table import Question, Table
from router_graph.pool import ModelCard
from router_graph.pool.transports.replay import ReplayTransport

NAMES = "Ada Boris Clara Dmitri Elena Fabio Greta Henrik Irina Jonas Klara Laszlo".split()
CARDS = [
    ModelCard(name=name, model=f"x/{name}", transport="t", price={"input": 0, "output": usd})
    for name, usd in (("cheap", 1), ("dear", 9), ("noise", 2))
]


def world(n=160, seed=0):
    """`cheap` is right for half of the questions, and where it is not, hedges; `dear` is right, in many words; `noise`
    says anything."""
    draw = random.Random(seed)
    for number in range(n):
        right, wrong, other = draw.sample(NAMES, 3)
        knows = draw.random() < 0.5
        cheap = f"<answer>{right}</answer>" if knows else f"I am not sure. <answer>perhaps {wrong}</answer>"
        dear = f"If I recall it well, the one who wrote it was {right}, which is widely known by now."
        texts = {"x/cheap": cheap, "x/dear": dear, "x/noise": f"<answer>{other}</answer>"}
        responses = {model: {"text": text, "completion_tokens": 10} for model, text in texts.items()}
        yield {"question": f"who wrote book {number}?", "golden_answers": [right], "responses": responses}


@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_no_other_weights_have_a_smaller_loss(seed, penalty):
    draw = np.random.default_rng(seed)
    x, y, weight = draw.normal(size=(40, 4)), (draw.random(40) < 0.4).astype(float), draw.random(40) + 0.1
    w = fit_logistic(x, y, weight, penalty=penalty)
    gradient = x.T @ (weight * (1 / (1 + np.exp(-x @ w)) - y)) + penalty * w
    assert np.abs(gradient).max() < 1e-2
    assert fit_logistic(x, y, weight, penalty=penalty, start=draw.normal(size=4)) == pytest.approx(w, abs=1e-2)


def test_a_plan_asks_on_only_where_the_confidence_is_below_its_stop():
    a, ab = frozenset("a"), frozenset("ab")
    outcomes = Outcomes(
        right={a: np.array([1.0, 0.0, 0.0]), ab: np.array([0.0, 1.0, 1.0])},
        confidence={a: np.array([0.9, 0.5, 0.2]), ab: np.array([0.3, 0.3, 0.8])},
        usd={"a": np.array([1.0, 1.0, 1.0]), "b": np.array([5.0, 5.0, 7.0])},
    )
    ran = outcomes.run(Plan(("a", "b"), (0.5,)))
    assert (ran.right.tolist(), ran.calls.tolist()) == ([1, 0, 1], [1, 1, 2])
    assert (ran.usd.tolist(), ran.confidence.tolist()) == ([1, 1, 8], [0.9, 0.5, 0.8])
    assert outcomes.run(Plan(("a", "b"), (ALWAYS,))).calls.tolist() == [2, 2, 2]


def test_the_best_plan_keeps_to_its_limit_and_is_the_cheapest_where_none_does():
    a, b, ab = frozenset("a"), frozenset("b"), frozenset("ab")
    worth = {a: np.array([0.3, 0.3]), b: np.array([0.4, 0.4]), ab: np.array([0.9, 0.9])}
    outcomes = Outcomes(worth, worth, {"a": np.array([1.0, 1.0]), "b": np.array([2.0, 2.0])})
    chosen = best_plans(outcomes, plans("ab", most=2), [0.5, 1.5, 2.5, 9])
    assert [one.chain for one in chosen[:3]] == [("a",), ("a",), ("b",)]
    assert set(chosen[3].chain) == {"a", "b"}


def test_a_cascade_learns_whom_to_ask_when_and_is_the_same_for_the_same_seed():
    rows = list(world())
    fitted = fit_cascade(rows, CARDS, usd=60e-6, folds=3, seed=1)
    assert fitted == fit_cascade(rows, CARDS, usd=60e-6, folds=3, seed=1)
    assert fitted.chain[:2] == ("x/cheap", "x/dear")
    cv, single = fitted.learned["cv"], fitted.learned["single"]["x/cheap"]["em"]
    assert cv["em"] > single + 0.3 and cv["usd"] <= 70e-6 and 1.3 < cv["calls"] < 1.8
    assert mark_of("Who wrote book 3?") in fitted.learned["marks"]


def test_a_limit_that_only_one_call_meets_gives_one_model():
    assert fit_cascade(world(), CARDS, usd=11e-6, folds=3).chain == ("x/cheap",)


@pytest.mark.parametrize(
    ("rows", "cards", "options", "problem"),
    [
        (lambda: list(world())[:9], CARDS, {}, "50 questions or more"),
        (world, [], {}, "0 models"),
        (world, CARDS, {"usd": 0}, "above 0"),
        (world, CARDS, {"folds": 2}, "at least 3"),
        (lambda: [{"question": "who?"}], CARDS, {}, "`golden_answers`"),
        (world, [*CARDS, ModelCard(name="gone", transport="t", price="free")], {}, "no reply of 'gone'"),
        (lambda: [{**row, "golden_answers": ["nobody"]} for row in world()], CARDS, {}, "nothing to learn"),
    ],
)
def test_what_cannot_be_fitted_on_is_refused_in_a_sentence(rows, cards, options, problem):
    with pytest.raises(SettingsError, match=problem):
        fit_cascade(rows(), cards, **{"usd": 1e-4, **options})


@pytest.fixture(scope="module")
def nq(data):
    """NQ train, read for the chain that is shipped."""
    file, shipped = data / "nq_pool" / "replies.train.jsonl", load()
    cards = [one for one in ReplayTransport.load(file).cards() if one.id in shipped.chain]
    with file.open(encoding="utf-8") as lines:
        questions = [Question.of(json.loads(line), cards) for line in lines]
    return questions, Table.of(questions, [one.id for one in cards], most=len(cards)), shipped


@pytest.mark.data
def test_the_shipped_reader_is_the_one_that_the_recorded_replies_give(nq):
    questions, table, shipped = nq
    stages = [frozenset(shipped.chain[:n]) for n in range(1, len(shipped.chain) + 1)]
    weights = dict(zip(table.names, table.fit(np.ones(len(questions), dtype=bool), stages), strict=True))
    assert set(shipped.reader.weights) <= set(weights)
    assert all(shipped.reader.weights.get(name, 0.0) == pytest.approx(w, abs=2e-3) for name, w in weights.items())
    assert shipped.learned["marks"] == sorted(mark_of(one.text) for one in questions)


@pytest.mark.data
def test_on_questions_that_it_was_not_fitted_on_the_cascade_is_right_more_often_than_its_best_model(nq):
    questions, table, shipped = nq
    stages = [frozenset(shipped.chain[:n]) for n in range(1, len(shipped.chain) + 1)]
    into, fold = table.outcomes(stages), np.arange(len(questions)) % 5
    for one in range(5):
        table.read(table.fit(fold != one, stages), fold == one, stages, into)
    ran = into.run(Plan(shipped.chain, shipped.stops))
    best = max(single["em"] for single in shipped.learned["single"].values())
    assert ran.right.mean() > best + 0.02
    assert ran.usd.mean() < 100e-6
