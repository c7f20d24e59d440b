from collections import Counter
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mote_backend.fingerprint import Fingerprint
from mote_backend.ftri.random_masks import random_masks, switched
from mote_backend.mask import ExpertMask

SHAPE = Fingerprint("qwen3_moe", (16, 8, 16), (2, 2, 2))
EXPERTS = st.sets(st.tuples(st.integers(0, 2), st.integers(0, 7)), min_size=1, max_size=6)


@given(EXPERTS, st.integers(0, 100))
def test_as_many_others_in_the_same_layers_and_all_draws_differ(experts, seed):
    mask = ExpertMask(off=frozenset(experts))
    drawn = random_masks(mask, SHAPE, 10, seed=seed)
    assert drawn == random_masks(mask, SHAPE, 10, seed=seed)
    assert len(set(drawn)) == len(drawn)
    for one in drawn:
        assert not one.off & mask.off
        assert Counter(layer for layer, _ in one.off) == Counter(layer for layer, _ in mask.off)
        one.check(SHAPE)


def test_on_and_bias_are_replaced_like_off():
    mask = ExpertMask(off=frozenset({(0, 1)}), on=frozenset({(0, 2)}), bias=frozenset({(2, 3, -1.5)}), phase="prefill")
    for one in random_masks(mask, SHAPE, 5):
        assert [len(one.off), len(one.on), [value for *_, value in one.bias], one.phase] == [1, 1, [-1.5], "prefill"]
        assert not set(switched(one)) & set(switched(mask))


def test_there_are_no_more_draws_than_ways():
    mask = ExpertMask(off=frozenset((1, expert) for expert in range(5)))
    assert random_masks(mask, SHAPE, 10) == [] or len(random_masks(mask, SHAPE, 10)) <= comb(3, 5)
    six = ExpertMask(off=frozenset({(1, 0), (1, 1)}))
    assert len(random_masks(six, SHAPE, 1000)) == comb(6, 2)


def test_with_matched_use_the_stand_ins_are_used_about_as_often():
    usage = {(0, expert): expert / 15 for expert in range(16)}
    busy = ExpertMask(off=frozenset({(0, 15)}))
    drawn = {next(iter(one.off)) for one in random_masks(busy, SHAPE, 6, usage=usage)}
    assert drawn == {(0, expert) for expert in range(9, 15)}


def test_with_matched_use_one_expert_has_as_many_controls_as_are_asked_for_if_its_layer_holds_them():
    usage = {(0, expert): expert / 15 for expert in range(16)}
    for expert in (0, 7, 15):
        one = ExpertMask(off=frozenset({(0, expert)}))
        assert [len(random_masks(one, SHAPE, draws, usage=usage)) for draws in (6, 10, 99)] == [6, 10, 15]


@pytest.mark.parametrize("draws", [1, 10])
def test_a_layer_without_others_has_no_control(draws):
    assert random_masks(ExpertMask(off=frozenset((1, expert) for expert in range(6))), SHAPE, draws) == []
