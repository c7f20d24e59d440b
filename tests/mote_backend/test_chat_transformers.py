"""Any causal model as a LangChain chat model: one batch for concurrent calls, options per call, and what it tells."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import itertools
import json
import math
import operator
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.runnables import ConfigurableField

from mote_backend.chat.chat_model import ChatTransformers
from mote_backend.chat.loading import unload
from mote_backend.errors import ContextLengthError, InputError, ModelLoadError, MoTEError, PromptError
from support.tiny_engine import byte_tokenizer, saved, tiny_model


@functools.cache
def dense() -> tuple[Any, Any]:
    return tiny_model("qwen3"), byte_tokenizer()


def chat(**given: Any) -> ChatTransformers:
    return ChatTransformers(**{"model": dense(), "max_tokens": 12, **given})


def test_a_reply_tells_what_was_sampled_and_how_likely_it_was() -> None:
    told = chat(temperature=0.9, seed=3, top_logprobs=2).invoke("hi")
    meta = told.response_metadata
    assert (meta["model_name"], meta["model_provider"], meta["finish_reason"]) == (
        "Qwen3ForCausalLM",
        "transformers",
        "length",
    )
    assert told.usage_metadata["output_tokens"] == len(meta["token_ids"]) == len(meta["token_logprobs"]) == 12
    assert told.usage_metadata["input_tokens"] == len(meta["prompt_token_ids"])
    tokenizer = dense()[1]
    assert tokenizer.decode(meta["token_ids"]) == told.content
    entries = meta["logprobs"]["content"]
    assert [entry["logprob"] for entry in entries] == meta["token_logprobs"]
    assert all(len(entry["top_logprobs"]) == 2 for entry in entries)
    for entry in entries:
        assert entry["bytes"] is None or bytes(entry["bytes"]).decode() == entry["token"]
    json.dumps(meta)


def test_token_ids_and_logprobs_can_be_left_out() -> None:
    meta = chat(return_token_ids=False).invoke("hi").response_metadata
    assert meta.keys() == {"model_name", "model_provider", "finish_reason"}


def test_the_end_token_is_told_to_trainers_and_to_nobody_else() -> None:
    model, tokenizer = tiny_model("qwen3"), byte_tokenizer()
    probe = ChatTransformers(model=(model, tokenizer), max_tokens=5)
    third = probe.invoke("hi").response_metadata["token_ids"][2]
    model.generation_config.eos_token_id = [third, tokenizer.eos_token_id]
    told = ChatTransformers(model=(model, byte_tokenizer()), max_tokens=5, logprobs=True).invoke("hi")
    assert told.response_metadata["finish_reason"] == "stop"
    assert told.response_metadata["token_ids"][-1] == third
    assert len(told.response_metadata["logprobs"]["content"]) == len(told.response_metadata["token_ids"]) - 1


def test_a_stream_put_together_is_the_reply() -> None:
    model = chat(temperature=1.0, seed=1)
    whole = model.invoke("hi")
    chunks = list(model.stream("hi"))
    joined = functools.reduce(operator.add, chunks)
    assert len([chunk for chunk in chunks if chunk.content]) > 3
    for name in ("content", "usage_metadata", "response_metadata"):
        assert getattr(joined, name) == getattr(whole, name)


async def test_an_async_stream_that_is_left_ends_its_row() -> None:
    model = chat(max_tokens=400, temperature=1.0, seed=0, top_k=2)
    async for chunk in model.astream("hi"):
        if chunk.content:
            break
    reply = await asyncio.wait_for(model.ainvoke("x", max_tokens=1), 5)
    assert reply.usage_metadata["output_tokens"] == 1


async def test_concurrent_calls_share_a_batch_and_no_thread_waits_for_them() -> None:
    model = chat()
    await model.ainvoke("warm")
    before, threads = len(model.engine().batch_sizes), threading.active_count()
    replies = asyncio.gather(*(model.ainvoke(f"say {at}") for at in range(16)))
    await asyncio.sleep(0.002)
    assert threading.active_count() == threads
    assert len(await replies) == 16
    sizes = model.engine().batch_sizes[before:]
    assert sum(sizes) == 16
    assert len(sizes) <= 3  # one, unless the machine is busy


def test_a_batch_runs_together_and_gives_what_single_calls_give() -> None:
    model = chat()
    before = len(model.engine().batch_sizes)
    inputs = [f"say {at}" * (at % 3 + 1) for at in range(24)]
    together = [reply.content for reply in model.batch(inputs)]
    assert len(model.engine().batch_sizes) - before <= 4  # one, unless the machine is busy
    assert together == [model.invoke(one).content for one in inputs]


def test_a_bad_input_of_a_batch_is_its_own_error() -> None:
    inputs = ["fine", [HumanMessage([{"type": "image_url", "image_url": "x"}])], "also fine"]
    first, bad, last = chat().batch(inputs, return_exceptions=True)
    assert isinstance(bad, InputError)
    assert first.content and last.content


def test_every_option_can_be_given_with_the_call() -> None:
    model = chat(temperature=1.0, seed=1)
    assert model.invoke("hi", seed=2).content != model.invoke("hi").content == model.bind(seed=1).invoke("hi").content
    assert len(model.invoke("hi", max_completion_tokens=2).response_metadata["token_ids"]) == 2
    assert model.invoke("hi", chat_template="x").usage_metadata["input_tokens"] == 1
    warm = model.configurable_fields(temperature=ConfigurableField("heat"))
    cold = {"configurable": {"heat": 0.0}}
    assert warm.invoke("hi", cold).content == chat().invoke("hi").content
    with pytest.raises(InputError, match="'temprature' is no option of a call"):
        model.invoke("hi", temprature=1)


def test_a_bad_option_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="top_p is 3"):
        chat(top_p=3).invoke("hi")
    with pytest.raises(InputError, match="'temprature' is no option of ChatTransformers"):
        chat(temprature=1)
    with pytest.raises(InputError, match="max_batch is 0"):
        chat(max_batch=0)
    with pytest.raises(InputError, match="a pair"):
        chat(model=dense()[0])
    with pytest.raises(PromptError, match="no chat template"):
        ChatTransformers(model=(dense()[0], byte_tokenizer(None))).invoke("hi")
    with pytest.raises(ModelLoadError, match="is no folder"):
        ChatTransformers(model=str(tmp_path / "absent")).invoke("hi")
    with pytest.raises(TimeoutError, match=r"within 1e-05 seconds"):
        chat(timeout=1e-5).invoke("hi")


async def test_a_timeout_holds_for_async_calls_and_streams() -> None:
    slow = chat(timeout=1e-5)
    with pytest.raises(TimeoutError):
        await slow.ainvoke("hi")
    with pytest.raises(TimeoutError):
        [chunk async for chunk in slow.astream("hi")]


@pytest.mark.parametrize("timeout", ["soon", -1, float("nan"), True])
def test_a_time_that_no_clock_can_wait_is_one_sentence(timeout: Any) -> None:
    with pytest.raises(InputError, match="it is a number of seconds"):
        chat(max_tokens=1).invoke("hi", timeout=timeout)
    assert chat(max_tokens=1).invoke("hi", timeout=float("inf")).text == chat(max_tokens=1).invoke("hi").text


def test_one_stop_text_is_a_text_and_not_its_letters() -> None:
    whole = chat(max_tokens=60).invoke("hi").text
    at = next(at for at in range(5, len(whole)) if whole.find(whole[at : at + 3]) == at)
    for said in (chat(max_tokens=60).invoke("hi", stop=whole[at : at + 3]), chat().bind(stop="~|~").invoke("hi")):
        assert said.text in (whole[:at], chat().invoke("hi").text)


def test_a_copy_speaks_with_the_same_model() -> None:
    one = chat()
    other = copy.deepcopy(one)
    assert other.invoke("hi").text == one.invoke("hi").text
    assert other.engine() is one.engine()


@pytest.mark.parametrize("form", ["text", "choice"])
async def test_what_takes_long_to_make_ready_does_not_hold_up_the_others(form: str) -> None:
    options = {"response_format": {"type": "choice", "choice": [f"number {n}" for n in range(10_000)]}}
    text = "one and another " * 60_000 if form == "text" else "hi"
    ticks = [time.monotonic()]

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.002)
            ticks.append(time.monotonic())

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    began = time.monotonic()
    with contextlib.suppress(ContextLengthError):
        await chat(max_tokens=1).ainvoke(text, **(options if form == "choice" else {}))
    took = time.monotonic() - began
    ticking.cancel()
    gaps = [after - before for before, after in itertools.pairwise([*ticks, time.monotonic()])]
    assert max(gaps) < took / 2


def test_a_folder_is_loaded_with_the_first_call_and_shared(tmp_path: Path) -> None:
    folder = str(saved(tmp_path / "tiny", "qwen3"))
    one, other = (ChatTransformers(model=folder, max_tokens=4, temperature=heat) for heat in (0.0, 1.0))
    assert one.invoke("hi").content == chat(max_tokens=4).invoke("hi").content
    assert other.engine() is one.engine()
    unload(folder)
    with pytest.raises(MoTEError, match="was closed"):
        other_engine = one.engine()
        unload(folder)
        other_engine.submit(chat_request(one))
    assert one.invoke("hi").content


def chat_request(model: ChatTransformers) -> Any:
    from mote_backend.chat.completion import Request
    from mote_backend.chat.sampling import Sampling

    return Request(tuple(model.get_token_ids("hi")), Sampling())


def test_tokens_are_counted_by_the_models_own_tokenizer() -> None:
    assert chat().get_num_tokens("héllo") == len(dense()[1]("héllo")["input_ids"])


def test_a_cache_of_replies_tells_models_and_options_apart() -> None:
    cache = InMemoryCache()
    models = [
        chat(cache=cache),
        chat(cache=cache, max_tokens=3),
        ChatTransformers(model=(tiny_model("qwen3", seed=5), dense()[1]), cache=cache, max_tokens=12),
    ]
    replies = [model.invoke("hi").content for model in models]
    assert [model.invoke("hi").content for model in models] == replies
    assert len(set(replies)) == 3


def test_logprobs_are_those_of_the_distribution_that_was_sampled_from() -> None:
    told = chat(temperature=0.7, top_k=3, seed=2, top_logprobs=5).invoke("hi").response_metadata["logprobs"]["content"]
    for entry in told:
        assert len(entry["top_logprobs"]) == 3
        assert sum(math.exp(one["logprob"]) for one in entry["top_logprobs"]) == pytest.approx(1, abs=1e-5)


def test_importing_the_chat_models_loads_neither_torch_nor_transformers() -> None:
    heavy = "('torch', 'transformers', 'litellm')"
    code = f"import sys, mote_backend.chat.chat_mote; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_it_is_a_chat_model_that_langchain_can_describe() -> None:
    model = chat(stop=["x"])
    assert isinstance(model, BaseChatModel)
    assert model._get_ls_params()["ls_provider"] == "transformers"
    assert model._get_ls_params()["ls_stop"] == ["x"]
