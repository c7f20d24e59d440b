from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mote_backend.ftri.intervals import Estimate
from mote_backend.verdict.rules import WORDS, Evidence, Rules, decide


def points(value, half=0.05, n=96):
    return Estimate(value, value - half, value + half, n)


GOOD = Evidence(
    before=points(0.98), taken=points(0.95), beyond=points(0.94), random_taken=(0.0, 0.02) * 5, experts=4,
    experts_in_all=128, harm=points(0.01), perplexity=(1.5, 1.52), right=points(0.92),
)  # fmt: skip


def test_few_experts_that_act_alone_and_harm_nothing_are_localised():
    word, checks = decide(GOOD, Rules())
    assert word == "localised"
    assert {check.word for check in checks} == {"localised"}


@pytest.mark.parametrize(
    ("check", "partly", "not_localised"),
    [
        ("shown", {"before": points(0.4), "taken": points(0.38)}, {"before": points(0.1), "taken": points(0.1, 0.01)}),
        ("effect", {"taken": points(0.5)}, {"taken": points(0.1)}),
        ("specific", {"random_taken": (0.4,) * 10}, {"random_taken": (0.8,) * 10}),
        ("few", {"experts": 12}, {"experts": 60}),
        ("harmless", {"harm": points(0.1)}, {"harm": points(0.4)}),
        ("perplexity", {"perplexity": (2.0, 2.6)}, {"perplexity": (2.0, 8.0)}),
        ("right", {"right": points(0.6)}, {"right": points(0.1)}),
        ("told", {"untold": 0.2}, {"untold": 0.6}),
    ],
)
def test_the_weakest_check_is_the_verdict_and_says_what_was_found(check, partly, not_localised):
    for changed, expected in ((partly, "partly"), (not_localised, "not localised")):
        word, checks = decide(replace(GOOD, **changed), Rules())
        assert word == expected
        assert [one.name for one in checks if one.word == expected] == [check]
        assert all(one.said.endswith(".") and "\n" not in one.said for one in checks)


@pytest.mark.parametrize(
    "chance",
    [
        {"taken": Estimate(0.9, -0.01, 1, 8)},
        {"beyond": Estimate(0.9, -0.01, 1, 8)},
        {"random_taken": (), "beyond": None},
        {"taken": points(-0.9)},
        {"experts": 0},
    ],
)
def test_what_may_be_chance_or_has_no_control_is_not_localised(chance):
    assert decide(replace(GOOD, **chance), Rules())[0] == "not localised"


@pytest.mark.parametrize("draws", [(0.0,) * 9, (0.0,) * 9 + (0.95,)])
def test_too_few_random_masks_or_one_that_does_as_much_is_partly_at_best(draws):
    assert decide(replace(GOOD, random_taken=draws), Rules())[0] == "partly"


def test_the_papers_own_result_would_be_partly():
    assert decide(replace(GOOD, taken=points(0.51), right=None), Rules())[0] == "partly"


SHARE = st.floats(0, 1)


@given(SHARE, SHARE, SHARE, SHARE, st.integers(1, 128), st.lists(st.floats(-1, 1), max_size=12), st.floats(0, 0.3))
def test_more_effect_fewer_experts_or_less_harm_never_weaken_the_word(before, taken, harm, right, experts, draws, more):
    one = Evidence(
        before=points(before), taken=points(taken), beyond=points(taken) if draws else None, random_taken=tuple(draws),
        experts=experts, experts_in_all=128, harm=points(harm), right=points(right),
    )  # fmt: skip
    better = replace(
        one, taken=points(taken + more), experts=max(1, experts // 2), harm=points(harm - more),
        beyond=points(taken + more) if draws else None,
    )  # fmt: skip
    assert WORDS.index(decide(better, Rules())[0]) <= WORDS.index(decide(one, Rules())[0])


def test_thresholds_can_be_given():
    assert decide(replace(GOOD, experts=12), Rules(few=(0.2, 0.5)))[0] == "localised"
