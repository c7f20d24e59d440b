"""Policies that ask one model, or several, and retrieve nothing."""

from __future__ import annotations

import datetime
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.actions import Answer, RouteToLLM
from router_graph.policies.models import Cheapest, Direct, RandomModel, Strongest, strongest_first
from router_graph.policies.support import Support, supported
from router_graph.pool import Measured, ModelCard, Price
from support.views import after, observation, option, said, view_of, walk

MODELS = (option("llm:mid", usd=0.2), option("llm:dear", usd=0.9), option("llm:cheap", usd=0.1))


def first(policy, view=None, **facts):
    """Whom the policy asks first."""
    (action,) = policy.choose(view or view_of(*MODELS, **facts)).actions
    return action.model if isinstance(action, RouteToLLM) else action


@pytest.mark.parametrize(
    ("policy", "model"),
    [
        (Cheapest(), "cheap"),
        (Strongest(), "dear"),
        (Strongest(["mid", "gone"]), "mid"),
        (Direct(), "dear"),
        (Direct(ranking=["cheap"]), "cheap"),
        (Direct("mid"), "mid"),
    ],
)
def test_the_model_is_the_one_that_the_name_of_the_policy_says(policy, model):
    assert first(policy) == model


@pytest.mark.parametrize("policy", [Cheapest(), Strongest(), Direct("mid"), RandomModel()])
def test_the_reply_is_the_answer_and_the_question_is_asked_as_it_stands(policy):
    asked = []

    def world(action, number):
        asked.append(action.query)
        return said("<answer>no, </answer> I think: <answer> Frank\n Herbert </answer>")

    answer, last = walk(policy, view_of(*MODELS), world)
    assert (answer, asked, len(last.steps)) == ("Frank Herbert", [last.question], 1)


def test_where_a_model_fails_the_next_is_asked_and_direct_gives_up():
    def world(action, number):
        return observation("failed", "It hung up.") if number == 0 else said("Herbert")

    assert walk(Cheapest(), view_of(*MODELS), world)[0] == "Herbert"
    for policy, asked in ((Direct("mid"), "mid"), (Direct(), "dear")):
        answer, last = walk(policy, view_of(*MODELS), world)
        assert (answer, len(last.steps)) == (f"No answer was found; asked were llm:{asked}.", 1)


def test_a_masked_model_is_passed_over():
    assert first(Cheapest(), masked={"llm:cheap": "it rests"}) == "mid"
    assert isinstance(first(Direct("cheap"), masked={"llm:cheap": "it rests"}), Answer)


def test_a_random_model_is_drawn_evenly_with_its_probability_logged_and_again_the_same_for_the_same_seed():
    choices = [RandomModel().choose(view_of(*MODELS, seed=seed)) for seed in range(600)]
    drawn = Counter(choice.actions[0].model for choice in choices)
    assert all(150 < count < 250 for count in drawn.values())
    assert {choice.propensity for choice in choices} == {1 / 3}
    assert choices[0].probabilities == {"llm:mid": 1 / 3, "llm:dear": 1 / 3, "llm:cheap": 1 / 3, "answer": 0.0}
    again = [RandomModel().choose(view_of(*MODELS, seed=seed)) for seed in range(600)]
    assert again == choices
    others = [RandomModel(1).choose(view_of(*MODELS, seed=seed)) for seed in range(600)]
    assert others != choices


def test_a_random_second_try_is_among_those_that_were_not_asked():
    view = after(view_of(*MODELS), (RouteToLLM("mid", "?"), observation("failed")))
    choice = RandomModel().choose(view)
    assert choice.actions[0].model != "mid"
    assert choice.propensity == 0.5
    assert choice.probabilities["llm:mid"] == 0


def card(name, usd, right=None, on="probe tasks"):
    day = datetime.date(2026, 1, 1)
    measured = None if right is None else Measured(right=right, asked=10, on=on, date=day)
    return ModelCard(name=name, transport="none", price=Price(input=usd, output=usd), measured=measured)


def test_the_strongest_is_the_most_accurate_where_all_were_measured_alike_else_the_dearest():
    def order(*cards):
        return strongest_first({one.name: one for one in cards})

    assert order(card("a", 1, 5), card("b", 9, 2), card("c", 2, 5)) == ["a", "c", "b"]
    assert order(card("a", 1, 5), card("b", 9)) == ["b", "a"]
    assert order(card("a", 1, 5), card("b", 9, 2, on="other tasks")) == ["b", "a"]


def test_several_models_are_asked_at_once_and_the_answer_that_most_replies_contain_is_given():
    replies = {
        "dear": "<answer>Isaac Asimov</answer>",
        "mid": "Dune is a novel by the American author Frank Herbert, first published in 1965.",
        "cheap": "<answer>Frank Herbert.</answer>",
    }
    answer, last = walk(Support(), view_of(*MODELS), lambda action, number: said(replies[action.model]))
    assert answer == "Frank Herbert."
    assert [one["model"] for one in last.steps[0]["actions"]] == ["dear", "mid", "cheap"]


def test_a_tie_goes_to_the_model_that_stands_first():
    replies = {"mid": "Herbert", "cheap": "Asimov"}
    for order in (["mid", "cheap"], ["cheap", "mid"]):
        answer, _ = walk(Support(order), view_of(*MODELS), lambda action, number: said(replies[action.model]))
        assert answer == replies[order[0]]


def test_where_none_of_the_models_replies_the_next_are_asked():
    def world(action, number):
        return said("Herbert") if action.model == "cheap" else observation("failed")

    answer, last = walk(Support(n=2), view_of(*MODELS), world)
    assert (answer, len(last.steps)) == ("Herbert", 2)


HEDGED = ["I cannot be sure, but it may well have been Frank Herbert.", "As far as I know, Frank Herbert wrote it."]
LISTENED = "I believe it was the Beatles, in 1965, or so I was told."


@pytest.mark.parametrize(
    ("replies", "answer", "backers"),
    [
        (["<answer>the Beatles</answer>", "Beatles!", LISTENED], "the Beatles", 3),
        (HEDGED, "Frank Herbert", 2),
        (["<answer></answer>", "<answer>a</answer>"], "", 0),
        (["art", "part"], "art", 1),
        ([], "", 0),
    ],
)
def test_an_answer_is_supported_by_the_replies_that_contain_it_as_whole_words(replies, answer, backers):
    assert supported("Who wrote Dune?", replies) == (answer, backers)


@given(st.text(max_size=40), st.lists(st.text(max_size=80), max_size=4))
def test_a_supported_answer_is_in_a_reply_and_has_a_backer(question, replies):
    answer, backers = supported(question, replies)
    assert (backers == 0) == (answer == "")
    assert backers <= len(replies)
