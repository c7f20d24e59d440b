"""Scores of a log become an advantage for each step, by the step, by the episode, or both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router_training.credit.advantages import DR_GRPO
from router_training.credit.assign import credit
from router_training.credit.groups import by_place
from router_training.errors import DataError
from router_training.rewards.costs import CostNormaliser
from router_training.rewards.router_r1 import RouterR1
from router_training.rewards.scoring import RewardRecord, score
from router_training.rewards.verifiable import Verifiable
from support.routed_runs import FILM, GOOD, PERSON, RIGHT, WRONG, does, run_of

SCALE = CostNormaliser(0.0, 0.1)
RUN, STEP = RouterR1(SCALE), Verifiable(SCALE)
OTHER = Verifiable(CostNormaliser(0.0, 0.2))
RUNS = [run_of(one) for one in (GOOD, does(FILM, WRONG), does(PERSON, FILM, RIGHT), does(WRONG))]
STEPS, WHOLE = list(score(RUNS, STEP)), list(score(RUNS, RUN))


def test_by_step_the_actions_from_one_state_are_compared():
    found = credit(RUNS, STEPS, convention=DR_GRPO)
    assert found.steps == [(run.run_id, one.number) for run in RUNS for one in run.steps]
    table = dict(zip(found.steps, found.advantages, strict=True))
    firsts = [table[run.run_id, 1] for run in RUNS]
    assert sum(firsts) == pytest.approx(0.0) and firsts[3] == min(firsts)  # to give up at once
    assert table[RUNS[0].run_id, 2] > 0 > table[RUNS[1].run_id, 2]  # what came after the film
    assert table[RUNS[0].run_id, 3] == 0.0  # nobody else was there
    assert (found.kept.groups, found.kept.used, found.kept.alone) == (5, 2, 3)
    assert found.mask.tolist() == [True, True, False, True, True, True, False, False, True]


def test_by_episode_every_step_has_what_its_run_has():
    found = credit(RUNS, WHOLE, "episode", convention=DR_GRPO)
    totals = [one.total for one in WHOLE]
    mean = sum(totals) / 4
    assert found.advantages == pytest.approx([t - mean for t, run in zip(totals, RUNS, strict=True) for _ in run.steps])
    assert found.mask.all() and found.kept.used == 1


def test_by_episode_the_steps_of_a_question_with_one_reward_teach_nothing():
    alone = run_of(GOOD, question="Another?")
    runs = [alone, RUNS[0], RUNS[3]]
    found = credit(runs, score(runs, RUN), "episode")
    assert found.mask.tolist() == [False] * 3 + [True] * 4
    assert not found.advantages[:3].any() and found.advantages[3] > 0 > found.advantages[6]


def test_mixed_it_is_the_sum_of_both():
    step, episode = credit(RUNS, STEPS), credit(RUNS, WHOLE, "episode")
    both = credit(RUNS, [*WHOLE, *STEPS], "mixed", weight=0.5)
    assert both.steps == step.steps == episode.steps
    assert both.advantages == pytest.approx(episode.advantages + 0.5 * step.advantages)


def test_parts_can_be_normalised_before_they_are_summed():
    weights = {"documents": 1.0, "cost": 0.1, "answer": 0.0}
    found = credit(RUNS, STEPS, parts=weights, steps_by=by_place)
    table = dict(zip(found.steps, found.advantages, strict=True))
    assert table[RUNS[0].run_id, 1] == table[RUNS[1].run_id, 1]  # the same search
    cheap = credit(RUNS, STEPS, parts={"documents": 0.0, "cost": 1.0}, steps_by=by_place)
    assert dict(zip(cheap.steps, cheap.advantages, strict=True))[RUNS[3].run_id, 1] > 0


def test_parts_that_tie_in_their_sum_are_no_tie_once_normalised():
    """The first question's totals are equal, though not its weighed parts; the second's differ in a part alone that
    counts nothing."""
    runs = [run_of(does(one, RIGHT), question=about) for about in ("One?", "Two?") for one in (FILM, PERSON)]
    parts = [{"a": 1.0, "b": 0.0, "c": 0.0}, {"a": 0.0, "b": 1.0, "c": 0.0}, {"a": 1.0, "b": 1.0, "c": 0.0}]
    parts.append({"a": 1.0, "b": 1.0, "c": 1.0})
    scores = [RewardRecord(r.run_id, 1, sum(p.values()), p, "v") for r, p in zip(runs, parts, strict=True)]
    found = credit(runs, scores, parts={"a": 2.0, "b": 1.0})
    assert found.mask.tolist() == [True, True, False, False] == (found.advantages != 0.0).tolist()
    assert (found.kept.used, found.kept.constant) == (1, 1)


def test_mixed_steps_of_equal_scores_still_learn_from_their_runs():
    flat = [replace(one, total=0.5) for one in STEPS]
    found = credit(RUNS, [*WHOLE, *flat], "mixed")
    assert found.advantages.tolist() == credit(RUNS, WHOLE, "episode").advantages.tolist()
    assert found.mask.all() and found.kept.used == 0
    with pytest.raises(DataError, match="No state has two different rewards"):
        credit(RUNS, [*[replace(one, total=0.5) for one in WHOLE], *flat], "mixed")


def test_a_run_that_comes_twice_is_one_sentence():
    for wrong in (lambda: list(score([*RUNS, RUNS[1]], STEP)), lambda: credit([*RUNS, RUNS[1]], STEPS)):
        with pytest.raises(DataError, match="comes twice; give each log once"):
            wrong()


def test_runs_without_scores_are_left_out():
    found = credit([*RUNS, replace(RUNS[0], run_id="unknown")], STEPS)
    assert "unknown" not in {run for run, _ in found.steps}


@pytest.mark.parametrize(
    ("runs", "scores", "by", "sentence"),
    [
        (RUNS, [], "step", "Credit by step needs scores of steps"),
        (RUNS, STEPS, "episode", "needs scores of whole runs, and these runs have none"),
        (RUNS, STEPS, "mixed", "whole runs and their steps"),
        (RUNS[:1], STEPS, "step", "No state has two different rewards"),
        (RUNS, [*STEPS, STEPS[0]], "step", "There are two scores of step 1 of run"),
        (
            RUNS,
            [*STEPS[:3], *score(RUNS[1:], OTHER)],
            "step",
            "scores of steps are by verifiable-.* and by verifiable-",
        ),
        (RUNS, [*WHOLE, RewardRecord(RUNS[0].run_id, 0, 1.0, {}, "other")], "episode", "and other; give those of one"),
    ],
)
def test_what_is_missing_is_one_sentence(runs, scores, by, sentence):
    with pytest.raises(DataError, match=sentence):
        credit(runs, scores, by)
