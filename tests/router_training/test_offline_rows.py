"""What each method takes of a log's samples."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_training.data.samples import Left, Sample
from router_training.errors import DataError
from router_training.rewards.scoring import RewardRecord
from router_training.trainers.config import Awr, OfflineGrpo, Rft
from router_training.trainers.pairs import pairs
from router_training.trainers.rows import Judged, dataset, fingerprint, judge, row, rows
from support.offline_samples import with_advantages
from support.run_logs import runs_in, whole_run, write


def sample(
    reply: int, *, run: str = "r", logprobs: list[float] | None = None, prompt: tuple[int, ...] = (1, 2)
) -> Sample:
    return Sample(run, 1, "q", "answer", list(prompt), [reply, 9], logprobs)


def of(*rewards: float, state: str = "s") -> list[Judged]:
    """Different replies to one state, with these rewards."""
    found = [Judged(sample(at + 10, logprobs=[-0.5, -0.25]), reward, state) for at, reward in enumerate(rewards)]
    return with_advantages(found)


def replies(made: list[Any]) -> list[int]:
    return [one["input_ids"][2] for one in made]


def test_rft_keeps_what_is_above_the_bar_and_counts_the_rest() -> None:
    left = Left()
    assert replies(rows(of(0.0, 0.4, 1.0, -1.0, math.nan), Rft(above=0.3), left)) == [11, 12]
    assert str(left) == "3 with a reward of 0.3 or less"


def test_rft_keeps_the_best_of_each_state_and_equals_of_the_last_one() -> None:
    both = [*of(0.5, 1.0, 0.7, 0.7), *of(0.2, 0.1, state="t")]
    assert replies(rows(both, Rft(best_of_state=2))) == [11, 12, 13, 10]
    assert replies(rows(both, Rft(best_of_state=1))) == [11, 10]


def test_rft_imitates_an_equal_reply_once() -> None:
    twice = [*of(1.0), *of(1.0)]
    assert len(rows(twice, Rft())) == 1
    assert len(rows(twice, Rft(dedupe=False))) == 2
    other = [*of(1.0), *(replace(one, sample=sample(10, prompt=(1, 3))) for one in of(1.0))]
    assert len(rows(other, Rft())) == 2


def test_awr_weighs_by_the_advantage_up_to_a_cap() -> None:
    found = of(0.0, 1.0)
    made = rows(found, Awr(tau=0.5, cap=3.0))
    assert [one["weight"] for one in made] == pytest.approx([math.exp(found[0].advantage / 0.5), 3.0])
    assert rows(of(0.0, 1.0), Awr(tau=1e-9))[1]["weight"] == 20.0  # no overflow
    assert rows(of(0.0, 1.0), Awr(tau=1e-9))[0]["weight"] == 0.0


@pytest.mark.parametrize("objective", [Awr(), OfflineGrpo()])
def test_states_that_tell_nothing_are_left_out_and_counted(objective: Awr | OfflineGrpo) -> None:
    left = Left()
    made = rows([*of(0.0, 1.0), *of(1.0, 1.0, state="t"), *of(1.0, state="u")], objective, left)
    assert len(made) == 2
    assert left.counts.total() == 3


@pytest.mark.parametrize("objective", [Awr(), OfflineGrpo()])
def test_a_log_without_two_different_rewards_in_any_state_is_refused(objective: Awr | OfflineGrpo) -> None:
    with pytest.raises(DataError, match="No state has two different rewards"):
        rows([*of(1.0, 1.0), *of(0.5, state="t")], objective)


def test_offline_grpo_needs_log_probs() -> None:
    found = of(0.0, 1.0)
    bare = [replace(one, sample=replace(one.sample, logprobs=None)) for one in found]
    with pytest.raises(DataError, match=r"2 of 2 samples have no recorded log-probs.*local:FOLDER"):
        rows(bare, OfflineGrpo())
    assert [one["weight"] for one in rows(found, OfflineGrpo())] == [one.advantage for one in found]


def test_a_log_in_which_nothing_went_well_is_refused() -> None:
    with pytest.raises(DataError, match=r"None of 2 samples has a reward of more than 0 \(the best has -0\.5\)"):
        rows(of(-1.0, -0.5), Rft())
    with pytest.raises(DataError, match="no sample to train on"):
        rows([], Rft())


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Sample("r", 1, "q", "answer", [], [1], None), "empty prompt"),
        (Sample("r", 1, "q", "answer", [1], [], None), "empty reply"),
        (Sample("r", 1, "q", "answer", [1], [1, 2], [-1.0]), "1 log-probs for 2 tokens"),
    ],
)
def test_a_sample_that_cannot_be_trained_on_is_named(broken: Sample, said: str) -> None:
    with pytest.raises(DataError, match=said):
        row(broken)


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4),
            st.lists(st.tuples(st.integers(0, 2**31 - 1), st.floats(max_value=0, allow_infinity=False)), min_size=1),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_dataset_gives_ids_and_log_probs_back_to_the_bit(told: list[Any]) -> None:
    made = [
        row(Sample("r", 1, "q", "answer", prompt, [one for one, _ in reply], [one for _, one in reply]), weight)
        for prompt, reply, weight in told
    ]
    for at, (back, one) in enumerate(zip(dataset(made), made, strict=True)):
        assert back == {**one, "row": at}


def test_a_fingerprint_is_of_the_data_and_not_of_its_order() -> None:
    found = of(0.0, 1.0)
    assert fingerprint(found) == fingerprint(found[::-1])
    assert fingerprint(found) != fingerprint([found[0], replace(found[1], reward=0.9)])


def test_steps_get_their_own_score_or_their_runs_and_those_without_are_counted(tmp_path: Any) -> None:
    runs = runs_in(write(tmp_path, [*whole_run("r1"), *whole_run("r2"), *whole_run("r3")]))
    steps = [replace(sample(10 + at, run=run), number=1) for at, run in enumerate(("r1", "r2", "r3"))]
    scores = [
        RewardRecord("r1", 1, 0.75, {}, "v"),
        RewardRecord("r1", 0, 0.1, {}, "v"),
        RewardRecord("r2", 0, 0.25, {}, "v"),
    ]
    left = Left()
    found = judge(steps, runs, scores, left=left)
    assert [one.reward for one in found] == [0.75, 0.25]
    assert found[0].state == found[1].state  # the same question, nothing done yet
    assert found[0].advantage > 0 > found[1].advantage
    assert str(left) == "1 without a score"
    with pytest.raises(DataError, match="No sample has a score"):
        judge(steps, runs, [])


def test_pairs_are_of_one_state_the_widest_first_and_of_different_replies() -> None:
    left = Left()
    found = pairs([*of(0.0, 1.0, 0.5), *of(0.3, state="t")], margin=0.2, most=2, left=left)
    assert [(one.chosen_ids[0], one.rejected_ids[0], one.margin) for one in found] == [(11, 10, 1.0), (11, 12, 0.5)]
    assert str(left) == "1 states without two replies that are far enough apart"
    same = [Judged(sample(10), 1.0, "s"), Judged(sample(10), 0.0, "s"), Judged(sample(11), 0.0, "s")]
    assert [(one.chosen_ids[0], one.rejected_ids[0]) for one in pairs(same)] == [(10, 11)]


@pytest.mark.parametrize("margin", [0.0, 0.6])
def test_states_without_two_different_rewards_make_no_pair(margin: float) -> None:
    rewards = (1.0, 1.0) if margin == 0 else (1.0, 0.5)
    with pytest.raises(DataError, match="In none of 1 states do the rewards of two replies differ"):
        pairs(of(*rewards), margin=margin)
