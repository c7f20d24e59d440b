"""Advantages are what a slow reference says, whatever the order of the samples, and nothing is made of rounding."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router_training.credit.advantages import (
    DR_GRPO,
    EASY_R1,
    TRL,
    TRL_ASYNC,
    Convention,
    group_relative,
    leave_one_out,
    mixed,
    normalised_parts,
    of_episodes,
    spread,
)
from router_training.errors import ConfigError, DataError

NAN = math.nan
rewards = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 0.1, NAN]), st.floats(-1e3, 1e3).map(lambda x: round(x, 6)))
samples = st.lists(st.tuples(rewards, st.integers(0, 5)), max_size=40)
conventions = st.builds(
    Convention, st.sampled_from(["group", "batch", "none"]), st.sampled_from([0, 1]), st.sampled_from([1e-4, 1e-8])
)


def slowly(values, groups, convention):
    """The same, a sample at a time."""
    every = [r for r in values if not math.isnan(r)]
    spread = statistics.stdev if convention.ddof else statistics.pstdev
    advantages = []
    for reward, group in zip(values, groups, strict=True):
        others = [r for r, g in zip(values, groups, strict=True) if g == group and not math.isnan(r)]
        if math.isnan(reward) or len(set(others)) < 2:
            advantages.append(0.0)
            continue
        off = reward - statistics.fmean(others)
        std = {"group": others, "batch": every, "none": None}[convention.by]
        advantages.append(off if std is None else off / (spread(std) + convention.eps))
    return advantages


def columns(drawn):
    return [r for r, _ in drawn], [g for _, g in drawn]


@given(samples, conventions)
@example([(0.1, 0)] * 3 + [(NAN, 0), (1.0, 1), (0.0, 1)], TRL)
def test_they_are_what_a_slow_reference_says(drawn, convention):
    values, groups = columns(drawn)
    found = group_relative(values, groups, convention)
    assert found == pytest.approx(slowly(values, groups, convention), rel=1e-6, abs=1e-6)
    assert np.isfinite(found).all()


@given(samples, st.randoms())
def test_the_order_of_the_samples_makes_no_difference(drawn, random):
    shuffled = random.sample(range(len(drawn)), len(drawn))
    values, groups = columns(drawn)
    before = group_relative(values, groups)
    after = group_relative([values[n] for n in shuffled], [groups[n] for n in shuffled])
    assert after == pytest.approx(before[shuffled], rel=1e-9, abs=1e-9)


@given(samples, st.floats(-1e3, 1e3))
def test_what_is_in_another_group_makes_no_difference(drawn, other):
    values, groups = columns(drawn)
    alone = group_relative(values, groups)
    beside = group_relative([*values, other, 5.0], [*groups, 99, 99])
    assert beside[: len(values)] == pytest.approx(alone, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("reward", [0.1, 1 / 3, 1e6 + 0.1, -0.7, NAN])
@pytest.mark.parametrize("convention", [TRL, TRL_ASYNC, EASY_R1, DR_GRPO, Convention("batch")])
def test_a_group_of_equal_rewards_has_advantages_of_exactly_zero(reward, convention):
    values, groups = [reward] * 7 + [3.0, 4.0], [0] * 7 + [1, 1]
    found = group_relative(values, groups, convention)
    assert (found[:7] == 0.0).all() and (found[7:] != 0.0).all()
    assert (leave_one_out(values, groups)[:7] == 0.0).all()


def test_a_group_of_one_has_no_advantage_in_any_convention():
    for convention in (TRL, TRL_ASYNC, EASY_R1, DR_GRPO):
        assert group_relative([5.0, NAN, 1.0], [0, 1, 1], convention).tolist() == [0.0, 0.0, 0.0]


def test_the_conventions_differ_as_their_libraries_do():
    values, groups = [1.0, 0.0, 0.0, 0.0], [7, 7, 7, 7]
    std = statistics.stdev(values)
    assert group_relative(values, groups, TRL)[0] == pytest.approx(0.75 / (std + 1e-4), rel=1e-12)
    assert group_relative(values, groups, EASY_R1)[0] == pytest.approx(0.75 / (std + 1e-6), rel=1e-12)
    assert group_relative(values, groups, TRL_ASYNC)[0] == pytest.approx(math.sqrt(3), rel=1e-7)
    assert group_relative(values, groups, DR_GRPO)[0] == 0.75


@given(samples)
def test_leave_one_out_compares_with_the_others_alone(drawn):
    values, groups = columns(drawn)
    for place, (found, reward) in enumerate(zip(leave_one_out(values, groups), values, strict=True)):
        others = [r for n, r in enumerate(values) if n != place and groups[n] == groups[place] and not math.isnan(r)]
        expected = 0.0 if math.isnan(reward) or not others else reward - statistics.fmean(others)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_steps_have_the_advantage_of_their_run_and_their_own():
    runs, questions = [1.0, 0.0, 0.5], [0, 0, 1]
    run_of_step = [0, 0, 1, 2]
    episode = of_episodes(runs, questions, run_of_step, DR_GRPO)
    assert episode.tolist() == [0.5, 0.5, -0.5, 0.0]
    step = group_relative([1.0, 3.0, 2.0, 2.0], [0, 1, 1, 0], DR_GRPO)
    assert mixed(episode, step, weight=2.0).tolist() == [-0.5, 1.5, -1.5, 1.0]
    with pytest.raises(DataError, match="the 3 runs count from 0"):
        of_episodes(runs, questions, [3], DR_GRPO)
    with pytest.raises(DataError, match="4 advantages of episodes and 1 of steps"):
        mixed(episode, step[:1])


def test_a_part_counts_by_its_weight_and_not_by_its_range():
    parts = [[1.0, 0.0], [0.0, 100.0], [1.0, 0.0], [0.0, 100.0]]
    assert normalised_parts(parts, [0] * 4, [1.0, 1.0], over_batch=False) == pytest.approx([0.0] * 4, abs=1e-3)
    found = normalised_parts(parts, [0] * 4, [1.0, 0.0])
    assert found[0] > 0.5 and found[1] < -0.5


def test_a_sample_to_which_no_part_applies_moves_nobody():
    parts = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.5]]
    alone = normalised_parts(parts, [0] * 3, [1.0, 0.5])
    beside = normalised_parts([*parts, [NAN, NAN]], [0] * 4, [1.0, 0.5])
    assert beside == pytest.approx([*alone, 0.0])


def test_groups_without_spread_are_dropped_and_counted():
    values = [1.0, 0.0, 5.0, 2.0, 2.0, 1.0, 1.01, NAN, 3.0]
    groups = [0, 0, 1, 2, 2, 3, 3, 4, 4]
    kept = spread(values, groups, least_std=0.1)
    assert (kept.groups, kept.used, kept.alone, kept.constant, kept.narrow) == (5, 1, 2, 1, 1)
    assert kept.mask.tolist() == [True, True] + [False] * 7
    assert str(kept).startswith("1 of 5 groups are used")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: spread([1.0, 1.0], [0, 0]).check(), "No state has two different rewards"),
        (lambda: group_relative([1.0], [0, 1]), r"one reward and one group, and not \(1,\) and \(2,\)"),
        (lambda: group_relative([1.0, math.inf], [0, 0]), "sample 1 has an infinite one"),
        (lambda: normalised_parts([1.0], [0], [1.0]), "one weight for each column"),
        (lambda: Convention("median"), "'group', 'batch' or 'none'"),
        (lambda: Convention(ddof=2), "ddof of 0 or 1"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(wrong, sentence):
    with pytest.raises((DataError, ConfigError), match=sentence):
        wrong()


def test_nothing_at_all_has_no_advantages():
    assert group_relative([], []).shape == (0,)
    assert leave_one_out([], []).shape == (0,)
    assert of_episodes([], [], []).shape == (0,)
