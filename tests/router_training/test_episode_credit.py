"""Rewards of episodes become advantages of their steps: by the run, by the step, by both, on one process or several."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from router_training.credit.advantages import Convention
from router_training.errors import ConfigError
from router_training.rewards.costs import CostNormaliser
from router_training.rewards.router_r1 import RouterR1
from router_training.trainers.episode_config import EpisodeConfig
from router_training.trainers.episode_credit import Rewards, Told, credited

PLAIN = Convention("none")


def told(*runs: tuple[str, float, list[tuple[str, float]]]) -> Told:
    """Runs of a question with a reward, each with the group and the reward of its steps."""
    made = Told()
    for place, (question, total, steps) in enumerate(runs):
        made.questions.append(question)
        made.totals.append(total)
        for number, (group, worth) in enumerate(steps, start=1):
            made.runs.append(place)
            made.numbers.append(number)
            made.groups.append(group)
            made.worth.append(worth)
    return made


ONE = (
    ("q", 1.0, [("a", 0.5), ("b", 1.0)]),
    ("q", 0.0, [("a", 0.0)]),
    ("p", 0.3, [("c", 0.2), ("d", 0.2)]),
    ("p", 0.3, [("c", 0.2), ("d", 0.6)]),
)


def test_each_step_has_the_advantage_of_its_run() -> None:
    found = credited([told(*ONE)], EpisodeConfig(), PLAIN)
    assert found.advantages.tolist() == [0.5, 0.5, -0.5, 0.0, 0.0, 0.0, 0.0]
    assert found.is_kept.tolist() == [True] * 3 + [False] * 4
    assert (found.groups, found.flat) == (2, 1)


def test_each_step_has_its_own_among_those_of_its_state() -> None:
    found = credited([told(*ONE)], EpisodeConfig(credit={"by": "step"}), PLAIN)
    assert found.advantages == pytest.approx([0.25, 0.0, -0.25, 0.0, -0.2, 0.0, 0.2])
    assert found.is_kept.tolist() == [True, False, True, False, True, False, True]
    assert (found.groups, found.flat) == (4, 2)  # b has one sample, c one reward


def test_both_are_added_with_a_weight() -> None:
    run, step = (credited([told(*ONE)], EpisodeConfig(credit={"by": by}), PLAIN) for by in ("episode", "step"))
    both = credited([told(*ONE)], EpisodeConfig(credit={"by": "mixed", "weight": 0.5}), PLAIN)
    assert both.advantages == pytest.approx(run.advantages + 0.5 * step.advantages)
    assert both.is_kept.tolist() == (run.is_kept | step.is_kept).tolist()


@pytest.mark.parametrize("by", ["episode", "step", "mixed"])
def test_a_group_that_lies_on_two_processes_is_one_group(by: str) -> None:
    config = EpisodeConfig(credit={"by": by})
    whole = credited([told(*ONE)], config, Convention("batch"))
    cut = credited([told(*ONE[:1]), told(*ONE[1:3]), told(*ONE[3:])], config, Convention("batch"))
    np.testing.assert_array_equal(whole.advantages, cut.advantages)
    assert (whole.groups, whole.flat) == (cut.groups, cut.flat)


def test_a_run_that_did_not_end_is_in_no_mean_and_is_not_learned_from() -> None:
    found = credited([told(*ONE[:2], ("q", nan, [("a", nan)]))], EpisodeConfig(), PLAIN)
    assert found.advantages.tolist() == [0.5, 0.5, -0.5, 0.0] and not found.is_kept[3]


def test_without_a_step_there_is_nothing() -> None:
    found = credited([told(("q", nan, []))], EpisodeConfig(credit={"by": "mixed"}), Convention("batch"))
    assert len(found.advantages) == 0 and found.groups == found.flat == 1


def test_the_reward_that_credit_needs_must_be_there() -> None:
    of_runs = Rewards(RouterR1(CostNormaliser(0.0, 1.0)))
    of_runs.check(EpisodeConfig())
    with pytest.raises(ConfigError, match="needs a reward of runs and one of steps"):
        of_runs.check(EpisodeConfig(credit={"by": "mixed"}))
    with pytest.raises(ConfigError, match=r"set credit\.by to 'step'"):
        Rewards().check(EpisodeConfig())
