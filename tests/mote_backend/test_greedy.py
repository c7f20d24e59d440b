"""The search alone, on models that are a formula."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mote_backend.errors import InputError
from mote_backend.ftri.greedy import Search, search
from mote_backend.ftri.measure import Measured
from mote_backend.mask import ExpertMask

CANDIDATES = [(0, expert) for expert in range(8)]


def run(measured, options=None, allowed=lambda chosen: True, candidates=CANDIDATES):
    calls = []

    def measure(masks):
        calls.append(len(masks))
        return [Measured(*measured(mask.off if mask else frozenset())) for mask in masks]

    found = search(measure, candidates, lambda chosen: ExpertMask(off=frozenset(chosen)), allowed, options or Search())
    return found, calls


def test_the_experts_that_act_are_found_the_strongest_first():
    effects = {(0, 3): 0.6, (0, 5): 0.36}
    found, _ = run(lambda off: (1 - sum(effects.get(one, 0) for one in off), 0.0))
    assert found.experts == ((0, 3), (0, 5))
    assert found.stop == "the target is met"
    assert found.end.behaviour == pytest.approx(0.04)


def test_two_that_act_only_together_are_found_where_the_first_gains_nothing():
    pair = {(0, 2), (0, 6)}
    found, _ = run(lambda off: (0.0 if pair <= off else 0.99 if pair & off else 1.0, 0.0))
    assert set(found.experts) == pair


def test_an_expert_that_harms_the_harmless_is_passed_over():
    def measured(off):
        harm = 0.5 if (0, 1) in off else 0.0
        return 1 - 0.9 * bool({(0, 1), (0, 4)} & off), harm

    assert run(measured)[0].experts == ((0, 4),)
    assert run(measured, Search(kl_weight=0.0))[0].experts == ((0, 1),)


def test_no_more_experts_are_added_than_help():
    found, _ = run(lambda off: (0.5 if (0, 0) in off else 1.0, 0.0), Search(budget=6, patience=2))
    assert found.experts == ((0, 0),)
    assert found.stop == "no further expert gains 0.02"
    assert [step.kept for step in found.steps] == [True, False, False, False]


def test_nothing_is_found_where_nothing_helps():
    found, _ = run(lambda off: (0.9, 0.0))
    assert found.experts == ()
    assert found.stop == "no expert gains 0.02"
    assert found.end == found.start


def test_an_expert_that_a_later_one_makes_needless_is_dropped():
    def measured(off):
        return (
            0.0 if {(0, 2), (0, 3)} <= off else 0.4 if (0, 1) in off else 0.7 if off & {(0, 2), (0, 3)} else 1.0
        ), 0.0

    found, _ = run(measured)
    assert set(found.experts) == {(0, 2), (0, 3)}
    assert [step.kept for step in found.steps if step.expert == (0, 1)] == [False]


def test_a_target_that_is_met_already_needs_no_expert():
    found, calls = run(lambda off: (0.01, 0.0))
    assert (found.experts, calls) == ((), [1])
    assert found.stop == "the target is met without a mask"


def test_the_behaviour_can_be_made_more():
    found, _ = run(lambda off: (0.2 + 0.8 * ((0, 7) in off), 0.0), Search(less=False))
    assert found.experts == ((0, 7),)


def test_what_is_not_allowed_is_not_tried():
    found, _ = run(lambda off: (1 - 0.2 * len(off), 0.0), allowed=lambda chosen: len(chosen) <= 2)
    assert len(found.experts) == 2
    assert found.stop == "no candidate is left"


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8), st.lists(st.floats(0, 0.2), min_size=8, max_size=8))
def test_the_result_is_never_worse_than_no_mask_within_the_budget_and_always_the_same(effects, harms):
    def measured(off):
        return max(0.0, 1 - sum(effects[one[1]] for one in off)), sum(harms[one[1]] for one in off)

    options = Search(budget=4)
    (found, _), (again, _) = run(measured, options), run(measured, options)
    assert found == again
    assert options.objective(found.end) <= options.objective(found.start)
    assert len(found.experts) <= 4
    assert measured(frozenset(found.experts)) == (found.end.behaviour, found.end.drift)


@pytest.mark.parametrize("wrong", [{"target": 1.0}, {"kl_weight": -1}, {"budget": 0}, {"patience": -1}])
def test_an_aim_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(InputError):
        Search(**wrong)
