"""An episode becomes rows: each reply behind exactly what it was sampled behind, and nothing else of it trained."""

from __future__ import annotations

import pytest
import torch

from router_graph.trajectories.records import RunRecord, StepRecord, Tokens
from router_training.trainers.episode_rows import ENVIRONMENT, rows_of
from support.offline_samples import tiny


def run_of(*calls: tuple[list[int], list[int]]) -> RunRecord:
    """A run whose policy said the second of each pair behind the first."""

    def step(number: int, prompt: list[int], reply: list[int]) -> StepRecord:
        tokens = Tokens(
            prompt_ids=prompt, completion_ids=reply, logprobs=[-0.5] * len(reply), logprob_kind="processed", model="",
            tokenizer="",
        )  # fmt: skip
        return StepRecord("r", {"number": number}, 0.0, {"tokens": tokens})  # type: ignore[typeddict-item]

    return RunRecord("r", 0.0, steps=tuple(step(n, *call) for n, call in enumerate(calls, start=1)))


def test_a_prompt_that_is_rendered_anew_begins_a_row() -> None:
    first, second = rows_of(run_of(([1, 2], [3, 4]), ([1, 9, 3, 4, 5], [6])))
    assert (first.prompt_ids, first.completion_ids, first.steps) == ([1, 2], [3, 4], [1, 1])
    assert (second.prompt_ids, second.completion_ids, second.steps) == ([1, 9, 3, 4, 5], [6], [2])


def test_a_prompt_that_goes_on_token_by_token_stays_in_the_row_with_the_environment_told_apart() -> None:
    (row,) = rows_of(run_of(([1, 2], [3, 4]), ([1, 2, 3, 4, 5, 7], [6]), ([1, 2, 3, 4, 5, 7, 6], [8])))
    assert (row.prompt_ids, row.completion_ids) == ([1, 2], [3, 4, 5, 7, 6, 8])
    assert row.steps == [1, 1, ENVIRONMENT, ENVIRONMENT, 2, 3]
    assert row.logprobs == [-0.5, -0.5, 0.0, 0.0, -0.5, -0.5]


def test_a_reply_whose_tokens_nobody_knows_is_not_trained() -> None:
    run = run_of(([1], [2]), ([1, 2, 3], []), ([1, 2, 3], [4]))
    assert [row.steps for row in rows_of(run)] == [[1, ENVIRONMENT, 3]]
    assert rows_of(RunRecord("r", 0.0)) == []


def test_in_one_row_a_reply_is_as_likely_as_in_a_row_of_its_own() -> None:
    model, _ = tiny()
    calls = (([5, 6, 7], [8, 9]), ([5, 6, 7, 8, 9, 10, 11], [12, 13]))
    (row,) = rows_of(run_of(*calls))

    def logprobs(ids: list[int], reply: int) -> torch.Tensor:
        with torch.no_grad():
            told = model(torch.tensor([ids])).logits.log_softmax(-1)[0, :-1]
        return told[torch.arange(len(ids) - 1), ids[1:]][-reply:]

    apart = torch.cat([logprobs([*prompt, *reply], len(reply)) for prompt, reply in calls])
    together = logprobs([*row.prompt_ids, *row.completion_ids], len(row.completion_ids))
    mine = torch.tensor(row.steps) != ENVIRONMENT
    assert together[mine].tolist() == pytest.approx(apart.tolist(), abs=1e-5)
