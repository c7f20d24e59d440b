"""States are the same whatever the words between, and different where anything that matters is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.actions import RouteToKB
from router_graph.trajectories.views import view_at
from router_training.credit.assign import credit
from router_training.credit.groups import by_place, by_question, by_sample, by_state, group_ids, steps_of
from router_training.credit.relabel import World, relabel
from router_training.credit.states import state_key
from router_training.errors import DataError
from router_training.rewards.costs import CostNormaliser
from router_training.rewards.scoring import RewardRecord, score
from router_training.rewards.verifiable import Verifiable
from support.routed_runs import FILM, GOOD, PERSON, QUESTION, RIGHT, does, run_of
from support.views import views

RUN = run_of(GOOD)


def test_equal_states_are_found_across_runs_whatever_was_thought():
    thinking = [replace(one, thought="I wonder.") for one in GOOD]
    shouting = does(RouteToKB("films", "FILM: Ann Lee wrote!"), PERSON, RIGHT)
    for other in (run_of(thinking), run_of(shouting, question=QUESTION.upper())):
        assert [by_state(RUN, n) for n in (1, 2, 3)] == [by_state(other, n) for n in (1, 2, 3)]


def test_the_states_of_one_run_all_differ_and_so_do_those_of_other_histories():
    other = run_of(does(PERSON, FILM, RIGHT))
    keys = {by_state(RUN, n) for n in (1, 2, 3)} | {by_state(other, n) for n in (2, 3)}
    assert len(keys) == 5


def test_by_evidence_it_matters_what_was_found_and_not_how():
    other = run_of(does(PERSON, FILM, RIGHT))
    assert by_state(RUN, 3, by="evidence") == by_state(other, 3, by="evidence")
    assert by_state(RUN, 2, by="evidence") != by_state(other, 2, by="evidence")


def test_what_may_be_chosen_is_part_of_the_state():
    excluded = run_of(GOOD, context={"exclude": ["kb:noise"]})
    poorer = run_of(GOOD, context={"usd": 0.5})
    assert by_state(excluded, 1) != by_state(RUN, 1) == by_state(poorer, 1)


def test_a_state_under_other_prices_is_another_state():
    dear = relabel(RUN, World(prices={"kb:films": 0.04}))
    assert all(by_state(RUN, n) != by_state(dear, n) for n in (1, 2, 3))
    assert by_state(RUN, 3, by="evidence") != by_state(dear, 3, by="evidence")


def test_one_action_in_two_worlds_is_no_better_than_itself():
    worlds = [relabel(RUN, World(prices={"kb:films": usd})) for usd in (0.0001, 0.01)]
    scores = list(score(worlds, Verifiable(CostNormaliser(0.0, 0.1))))
    for by, given_scores in (("step", scores), ("episode", [RewardRecord(r.run_id, 0, r.usd, {}, "") for r in worlds])):
        with pytest.raises(DataError, match="No state has two different rewards"):
            credit(worlds, given_scores, by)


def test_questions_that_differ_in_their_signs_alone_are_two():
    plus, minus = (run_of(GOOD, question=f"What is 2 {sign} 2?") for sign in "+-")
    assert by_state(plus, 1) != by_state(minus, 1)
    assert by_state(plus, 1) == by_state(replace(plus, question="what is  2 + 2?"), 1)


@given(views())
def test_a_key_is_short_and_the_same_each_time(view):
    assert state_key(view) == state_key(replace(view, seed=7)) and len(state_key(view)) == 24
    assert len(state_key(view, by="evidence")) == 24


@given(st.lists(st.one_of(st.integers(), st.text(max_size=2))))
def test_a_group_is_a_number_for_each_key(keys):
    numbers = group_ids(keys)
    assert numbers.dtype == np.int64 and len(numbers) == len(keys)
    assert all((numbers[i] == numbers[j]) == (keys[i] == keys[j]) for i in range(len(keys)) for j in range(i))


def test_each_way_of_grouping_compares_what_it_says():
    again, other = run_of(GOOD), run_of(GOOD, question="Another?")
    assert by_question(RUN) == by_question(again) != by_question(other)
    assert by_place(RUN, 2) == by_place(again, 2) != by_place(RUN, 3)
    siblings = [replace(run, metadata={**run.metadata, "state": "s1"}) for run in (RUN, again)]
    assert by_sample(siblings[0], 1) == by_sample(siblings[1], 1) != by_sample(RUN, 1)
    assert by_sample(RUN, 1) != by_sample(again, 1)
    assert [(place, number) for place, _, number in steps_of([RUN, other])] == [
        (p, n) for p in (0, 1) for n in (1, 2, 3)
    ]


def test_the_view_of_a_step_is_the_only_thing_a_state_is_made_of():
    cut = replace(RUN, steps=RUN.steps[:2], answer="", status="open")
    assert by_state(cut, 2) == by_state(RUN, 2) == state_key(view_at(RUN, 2))
