"""How a batch's tokens are drawn: each row in its own way, as transformers would, with honest log-probabilities."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from mote_backend.chat.completion import Request
from mote_backend.chat.row import Row
from mote_backend.chat.row_sampler import RowSampler
from mote_backend.chat.sampling import Sampling
from mote_backend.errors import InputError, MoTEError
from support.tiny_engine import byte_tokenizer

TOKENIZER = byte_tokenizer()
SIZE = 12


def rows(*ways: dict) -> list[Row]:
    made = [Row(Request((1,), Sampling.of(**{"max_tokens": 100_000, **way})), 100_000, None, None) for way in ways]
    for row in made:
        row.start(TOKENIZER, frozenset())
    return made


def drawn(several: list[Row], logits: torch.Tensor, steps: int = 1) -> list[list[int]]:
    sampler = RowSampler(several, [0] * len(several), 0)
    ids = torch.ones(len(several), 1, dtype=torch.long)
    for _ in range(steps):
        chosen = sampler(ids, logits.clone()).argmax(-1)
        assert chosen.tolist() == [row.tokens[-1].id for row in several]
    return [[token.id for token in row.tokens] for row in several]


@pytest.mark.parametrize(
    "way", [{}, {"top_k": 4}, {"top_p": 0.7}, {"min_p": 0.2}, {"top_k": 5, "top_p": 0.8, "min_p": 0.1}]
)
def test_tokens_are_drawn_as_often_as_transformers_would(way: dict) -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, SIZE)
    warpers = LogitsProcessorList([TemperatureLogitsWarper(0.8)])
    for key, make in (("top_k", TopKLogitsWarper), ("top_p", TopPLogitsWarper), ("min_p", MinPLogitsWarper)):
        if key in way:
            warpers.append(make(way[key]))
    expected = warpers(None, logits.clone()).softmax(-1)[0]
    [row] = rows({"temperature": 0.8, "seed": 1, **way})
    [ids] = drawn([row], logits, 3000)
    shares = torch.bincount(torch.tensor(ids), minlength=SIZE) / len(ids)
    assert (shares[expected == 0] == 0).all()
    assert (shares - expected).abs().max() < 0.04  # 4 standard deviations of a share are 0.037
    assert all(math.isclose(math.exp(token.logprob), float(expected[token.id]), rel_tol=1e-5) for token in row.tokens)


def test_a_row_draws_the_same_whoever_shares_its_batch() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, SIZE)
    way = {"temperature": 1.0, "seed": 7, "top_p": 0.9}
    [alone] = drawn(rows(way), logits[1:2], 50)
    together = drawn(rows({"temperature": 1.0, "seed": 3}, way, {"temperature": 0.0}), logits, 50)
    assert together[1] == alone
    assert together[2] == [int(logits[2].argmax())] * 50


def test_without_a_seed_no_two_rows_draw_alike() -> None:
    first, second = drawn(rows({"temperature": 1.0}, {"temperature": 1.0}), torch.zeros(2, SIZE), 40)
    assert first != second


def test_a_greedy_token_has_its_untempered_probability_and_the_likeliest_others_beside_it() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.6, 0.3]]))
    [row] = rows({"top_logprobs": 2, "top_p": 0.1})
    drawn([row], logits)
    assert row.tokens[0].logprob == pytest.approx(math.log(0.6))
    assert [(id_, pytest.approx(math.exp(p))) for id_, p in row.tokens[0].top] == [(1, 0.6), (2, 0.3)]


def test_what_cannot_be_drawn_is_not_told_among_the_likeliest() -> None:
    [row] = rows({"temperature": 1.0, "top_k": 2, "top_logprobs": 5, "seed": 0})
    drawn([row], torch.tensor([[3.0, 2.0, 1.0, 0.0]]))
    assert [id_ for id_, _ in row.tokens[0].top] == [0, 1]


def test_the_repetition_penalty_leaves_padding_out() -> None:
    [row] = rows({"repetition_penalty": 2.0})
    ids = torch.tensor([[0, 0, 2]])
    RowSampler([row], [2], 0)(ids, torch.tensor([[3.0, 1.0, 4.0]]))
    assert row.tokens[0].id == 0


def test_the_tiniest_temperature_is_greedy() -> None:
    [row] = rows({"temperature": 1e-40, "seed": 0})
    drawn([row], torch.tensor([[1.0, 2.0]]))
    assert row.tokens[0].id == 1


def test_logits_that_are_no_numbers_fail_their_own_row_only() -> None:
    broken, fine = rows({"temperature": 1.0, "seed": 0}, {"temperature": 1.0, "seed": 0})
    logits = torch.tensor([[float("nan")] * 4, [1.0, 2.0, 3.0, 4.0]])
    RowSampler([broken, fine], [0, 0], 0)(torch.ones(2, 1, dtype=torch.long), logits)
    assert isinstance(broken.future.exception(timeout=0), MoTEError)
    assert fine.tokens


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"top_p": 0}, "top_p is 0"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"stop": [""]}, "a stop text is empty"),
        ({"top_logprobs": 21}, "top_logprobs is 21"),
        ({"beams": 3}, "'beams' is no option"),
    ],
)
def test_a_bad_way_of_sampling_is_refused_in_one_sentence(given: dict, told: str) -> None:
    with pytest.raises(InputError) as caught:
        Sampling.of(**given)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
