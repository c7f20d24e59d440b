"""What is measured of one run, against values that were worked out by hand."""

from __future__ import annotations

import pytest

from router_graph.evaluation.f1_recall import f1_recall
from router_graph.evaluation.gold import Gold
from router_graph.evaluation.outcome import Asked, Outcome, outcome_of
from router_graph.evaluation.questions import Question
from router_graph.evaluation.scores import scored, stopped

QUESTION = Question(
    "q", "Where?", Gold(("Rome",), (frozenset({"t1"}), frozenset({"p1", "p2"}))), frozenset({"tables", "texts"})
)


def run(*asked: Asked, answer="Rome", **facts) -> Outcome:
    about = {
        "policy": "p", "question": "q", "seed": 0, "answer": answer, "stop_reason": "answered", "asked": asked,
        "documents": 3, "covered": True, "calls": 2, "tokens": 10, "usd": 0.5, "cost_units": 7.0, "policy_usd": 0.1,
        "latency_s": 0.2,
    }  # fmt: skip
    return Outcome(**{**about, **facts})


TABLE = Asked(1, "kb:tables", ("tables:t9", "tables:t1"), (0,))
TEXT = Asked(2, "kb:texts", ("texts:p2",), (1,))
OTHER = Asked(3, "kb:news", ("news:n",), ())


def test_a_run_that_found_all_and_stopped_then():
    found = scored(QUESTION, run(TABLE, TEXT))
    assert found == {
        "em": 1.0, "f1": 1.0, "contains": 1.0, "f1_recall": 1.0, "coverage": 1.0, "documents": 3.0, "gold_recall": 1.0,
        "gold_mrr": 0.75, "routing_accuracy": 1.0, "routing_set": 1.0, "stop_quality": 1.0, "retrievals": 2.0,
        "calls": 2.0, "tokens": 10.0, "usd": 0.5, "cost_units": 7.0, "latency_s": 0.2,
    }  # fmt: skip


def test_a_run_that_went_on_after_all_was_found_or_ended_before():
    late, early = run(TABLE, TEXT, OTHER), run(TABLE, answer="")
    assert stopped(QUESTION, late) == "too late" and stopped(QUESTION, early) == "too early"
    told = scored(QUESTION, late)
    assert (told["routing_accuracy"], told["routing_set"], told["stop_quality"]) == (2 / 3, 0.0, 0.0)
    assert scored(QUESTION, early)["gold_recall"] == 0.5
    assert scored(QUESTION, run())["routing_accuracy"] == scored(QUESTION, run())["gold_mrr"] == 0.0


def test_where_nothing_is_needed_the_right_stop_is_at_once():
    none = Question("q", "2 + 2?", Gold(("4",), ()))
    assert stopped(none, run()) == "in time" and stopped(none, run(TABLE)) == "too late"
    assert stopped(Question("q", "?", Gold(("4",))), run()) is None


def test_two_searches_of_one_step_are_one_step():
    assert stopped(QUESTION, run(TABLE, Asked(1, "kb:texts", ("texts:p1",), (1,)))) == "in time"


@pytest.mark.parametrize(
    ("said", "right", "score"),
    [
        ("the city of Rome", "Rome", 1.0),  # recall alone: length costs nothing
        ("Rome", "a Rome", 0.5),  # "a" stays
        ("two", "2", 1.0),
        ("Paris", "Rome", 0.0),
        ("", "Rome", 0.0),
        ("New York", ["York city hall", "New York City"], 2 / 3),  # the recall of the one with the best F1
    ],
)
def test_f1_recall_is_gained_by_saying_more(said, right, score):
    assert f1_recall(said, right) == pytest.approx(score)


def test_an_outcome_survives_a_file():
    assert Outcome.from_json(run(TABLE, TEXT).to_json()) == run(TABLE, TEXT)


def test_units_are_the_completion_tokens_of_each_model_at_its_price():
    entry = {"state": "settled", "purpose": "model", "name": "big", "spent": {"picousd": 2 * 10**12, "tokens": 30}}
    own = {**entry, "purpose": "policy", "name": "small", "usage": {"input": 5, "output": 4}}
    search = {**entry, "purpose": "knowledge_base", "name": "texts", "usage": None}
    held = {**entry, "state": "reserved", "usage": {"output": 99}}
    ledger = {"1": {**entry, "usage": {"input": 10, "output": 20}}, "2": own, "3": search, "4": held}
    result = {"answer": "Rome [texts:p2]", "stop_reason": "answered", "steps": [], "ledger": ledger}
    one = outcome_of(result, QUESTION, "p", seed=0, seconds=1.0, rates={"big": 0.8, "small": 0.5})
    assert one.cost_units == pytest.approx(20 * 0.8 + 4 * 0.5)
    assert (one.calls, one.tokens, one.usd, one.policy_usd, one.answer) == (2, 90, 6.0, 2.0, "Rome")
