import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mote_backend.ftri.intervals import difference, mean

SCORES = st.lists(st.floats(0, 1), max_size=30)
BINARY = st.lists(st.sampled_from([0.0, 1.0]), max_size=30)


@given(st.one_of(SCORES, BINARY))
def test_the_mean_lies_in_its_interval_and_that_within_what_is_possible(scores):
    one = mean(scores)
    assert 0 <= one.low <= one.value + 1e-12 and one.value - 1e-12 <= one.high <= 1
    assert one.n == len(scores)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=30))
def test_so_does_a_difference_and_turned_round_it_is_its_negative(pairs):
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    one, back = difference(before, after), difference(after, before)
    assert -1 <= one.low <= one.value + 1e-12 and one.value - 1e-12 <= one.high <= 1
    assert back.value == pytest.approx(-one.value)


def test_nothing_is_certain_where_all_agree():
    assert mean([1.0] * 10).low < 0.75
    assert -1 <= difference([1.0] * 10, [0.0] * 10).low < -0.9 < difference([1.0] * 10, [0.0] * 10).high < -0.5
    assert difference([0.5] * 10, [0.5] * 10).high > 0
    assert (mean([]).low, mean([]).high) == (0, 1)


@pytest.mark.parametrize("shape", ["binary", "graded"])
def test_intervals_cover_the_truth_about_as_often_as_they_say(shape):
    drawn = random.Random(3)
    covered = 0
    for _ in range(200):
        if shape == "binary":
            pairs = [(float(drawn.random() < 0.7), float(drawn.random() < 0.4)) for _ in range(40)]
        else:
            pairs = [(drawn.betavariate(7, 3), drawn.betavariate(4, 6)) for _ in range(40)]
        one = difference([b for b, _ in pairs], [a for _, a in pairs])
        covered += one.low <= -0.3 <= one.high
    assert covered >= 183


def test_unpaired_scores_are_no_paired_difference():
    with pytest.raises(ValueError, match="as many"):
        difference([1.0], [])
