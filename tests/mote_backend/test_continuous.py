"""Continuous batching with a mask for each request equals a run of each request alone."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from mote_backend.continuous import continuous_batching
from mote_backend.errors import InputError, MaskError
from mote_backend.mask import ExpertMask
from mote_backend.steering import steer
from support.moe_families import build
from support.tiny_family import prompts

NEW = 8
OFF = ExpertMask(off=frozenset((layer, expert) for layer in range(3) for expert in (0, 1)))
ON = ExpertMask(on=frozenset((layer, 5) for layer in range(3)))
PREFILL, DECODE = (ExpertMask(off=OFF.off, phase=phase) for phase in ("prefill", "decode"))


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    yield build("qwen3_moe")


def alone(model: Any, tokens: Sequence[int], mask: ExpertMask | None) -> list[int]:
    with steer(model, mask):
        made = model.generate(
            input_ids=torch.tensor([tokens]), max_new_tokens=NEW, do_sample=False, pad_token_id=0, eos_token_id=None
        )
    return made[0, len(tokens) :].tolist()


def batching(model: Any, sequences: int = 1, **settings: Any) -> Any:
    config = ContinuousBatchingConfig(**{"num_blocks": 64, "max_batch_tokens": 64, "block_size": 16, **settings})
    return continuous_batching(
        model,
        generation_config=GenerationConfig(
            **{"max_new_tokens": NEW, "pad_token_id": 0, "eos_token_id": -1},
            **({"do_sample": True, "top_k": 1, "num_return_sequences": sequences} if sequences > 1 else {}),
        ),
        config=config,
    )


def test_requests_with_different_masks_share_the_passes_and_equal_single_runs(model: Any) -> None:
    requests = [
        (prompts(1, length, seed=length)[0].tolist(), mask)
        for length, mask in zip((5, 9, 7, 12, 4, 6), (OFF, None, ON, OFF, PREFILL, DECODE), strict=True)
    ]
    with batching(model) as running:
        ids = [running.add(tokens, mask) for tokens, mask in requests]
        outputs = {output.request_id: output.generated_tokens for output in running.results(len(ids), timeout=60)}
    assert [outputs[one] for one in ids] == [alone(model, *request) for request in requests]


def test_a_shared_prefix_is_keyed_by_the_mask(model: Any) -> None:
    tokens = prompts(1, 60)[0].tolist()
    masks = [OFF, None, ON, OFF, None, ON, PREFILL, PREFILL, DECODE, DECODE]
    expected = {mask: alone(model, tokens, mask) for mask in set(masks)}
    assert len({tuple(one) for one in expected.values()}) > 2
    hits = []
    with batching(model) as running:
        for mask in masks:  # one after another, so that the first of each mask leaves its blocks
            running.add(tokens, mask)
            (output,) = running.results(1, timeout=60)
            assert output.generated_tokens == expected[mask]
            ledgers = [one.ledger for one in running.manager.batch_processor.cache.cache_allocators.values()]
            hits.append(sum(len(ledger.hash_to_block) for ledger in ledgers))
    assert hits[0] > 0
    assert hits[2] == 3 * hits[0], "each mask has blocks of its own"
    assert hits[3:] == [hits[2]] * 7, "the same mask shares them, and a mask for one phase leaves none"


def test_several_sequences_of_a_request_keep_its_mask(model: Any) -> None:
    requests = [(prompts(1, 20, seed=at)[0].tolist(), mask) for at, mask in enumerate((OFF, None, ON))]
    with batching(model, sequences=2) as running:
        ids = [running.add(tokens, mask) for tokens, mask in requests]
        outputs, given = [], set()
        for output in running.results(6, timeout=60):
            outputs.append((output.request_id, output.generated_tokens))
            name = output.request_id.partition("__")[0]
            mask = dict(zip(ids, (OFF, None, ON), strict=True))[name]
            assert running.mask_of(f"{name}__child#0") is (None if name in given else mask)
            given.add(name)
    for name, request in zip(ids, requests, strict=True):
        assert [made for one, made in outputs if one.startswith(name)] == [alone(model, *request)] * 2


def test_without_masks_it_is_the_continuous_batching_of_the_library(model: Any) -> None:
    tokens = prompts(1, 9)[0].tolist()
    with batching(model) as running:
        running.add(tokens, request_id="mine")
        (output,) = running.results(1, timeout=60)
    assert (output.request_id, output.generated_tokens) == ("mine", alone(model, tokens, None))


def test_the_model_is_left_as_it_was(model: Any) -> None:
    before, attention = alone(model, [5, 6, 7], None), model.config._attn_implementation
    with batching(model) as running:
        running.add([5, 6, 7], OFF)
        list(running.results(1, timeout=60))
    assert alone(model, [5, 6, 7], None) == before
    assert model.config._attn_implementation == attention
    assert not any("_mote" in module.__dict__ for module in model.modules())


def test_a_mask_that_does_not_fit_and_an_id_that_is_taken_are_refused_before_they_run(model: Any) -> None:
    with batching(model) as running:
        with pytest.raises(MaskError, match="layer 9"):
            running.add([5], ExpertMask(off={(9, 0)}))
        running.add([5, 6], request_id="one", max_new_tokens=2)
        with pytest.raises(InputError, match="'one' already"):
            running.add([5, 6], request_id="one")
        assert len(next(running.results(1, timeout=60)).generated_tokens) == 2


@pytest.mark.parametrize("option", ["use_cuda_graph", "use_async_batching"])
def test_passes_that_are_recorded_are_refused(model: Any, option: str) -> None:
    with pytest.raises(InputError, match=option), batching(model, **{option: True}):
        raise AssertionError
