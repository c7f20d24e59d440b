"""LiteLLM's provider `mote`: whole and streamed, sync and async, with masks, tools and the usage."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm
import pytest
from litellm import CustomLLM

from mote_backend.chat.chat_mote import ChatMoTE
from mote_backend.errors import InputError
from mote_backend.serving.litellm_provider import register, unregister
from support.chat_templates import HERMES
from support.mote_server import QUIET, tiny_chat_mote

ASK = [{"role": "user", "content": "hello there"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
}


@pytest.fixture(scope="module")
def model() -> ChatMoTE:
    return tiny_chat_mote(tokenizer={"chat_template": HERMES})


@pytest.fixture(autouse=True)
def registered(model: ChatMoTE) -> Iterator[None]:
    register({"tiny": model})
    yield
    unregister("tiny")


def ask(name: str = "mote/tiny", **options: Any) -> Any:
    return litellm.completion(model=name, messages=ASK, max_tokens=12, num_retries=0, **options)


def said(model: ChatMoTE, mask: Any = None) -> str:
    return model.invoke("hello there", mote_mask=mask).text


@pytest.mark.parametrize(
    "given",
    [
        {"mote_mask": "quiet"},
        {"mote_mask": QUIET.to_json()},
        {"extra_body": {"mote_mask": "quiet"}},
        {"name": "mote/tiny:quiet"},
    ],
)
def test_a_mask_reaches_the_model_however_it_is_given(model, given):
    reply = ask(**given)
    assert reply.choices[0].message.content == said(model, QUIET) != said(model)
    assert reply.mote["id"] == QUIET.id


def test_the_reply_has_text_reason_and_usage(model):
    reply = ask()
    assert reply.choices[0].message.content == said(model)
    assert reply.choices[0].finish_reason == "length"
    own = model.invoke("hello there").usage_metadata
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (own["input_tokens"], own["output_tokens"])
    assert reply.mote is None


@pytest.mark.parametrize("mask", [None, "quiet"])
async def test_streams_have_the_same_text_and_the_usage(model, mask):
    options = {"stream": True, "stream_options": {"include_usage": True}, "mote_mask": mask}
    pieces = list(ask(**options))
    stream = await litellm.acompletion(model="mote/tiny", messages=ASK, max_tokens=12, **options)
    for found in (pieces, [piece async for piece in stream]):
        texts = [piece.choices[0].delta.content for piece in found if piece.choices]
        assert "".join(text or "" for text in texts) == said(model, mask)
        assert len(found) > 4
        assert [reason for piece in found if (reason := piece.choices[0].finish_reason)] == ["length"]
        assert found[-1].usage.completion_tokens == 12


async def test_concurrent_calls_share_a_batch(model):
    before = len(model.engine().batch_sizes)
    calls = [litellm.acompletion(model="mote/tiny", messages=ASK, max_tokens=12, mote_mask=one) for one in MASKS]
    replies = await asyncio.gather(*calls)
    assert max(model.engine().batch_sizes[before:]) >= 4
    assert [reply.choices[0].message.content for reply in replies] == [said(model), said(model, QUIET)] * 4


MASKS = [None, "quiet"] * 4


@pytest.mark.parametrize("stream", [False, True])
def test_a_forced_tool_call_comes_through(stream):
    options = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False, "stream": stream}
    options["_skip_mcp_handler"] = True  # else LiteLLM wants the `mcp` package for any call with tools
    reply = litellm.completion(model="mote/tiny", messages=ASK, max_tokens=200, **options)
    if stream:
        reply = litellm.stream_chunk_builder(list(reply))
    (call,) = reply.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("look", {})
    assert reply.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mote_mask": "quite"}, "did you mean 'quiet'"),
        ({"mote_mask": "/etc/mask.json"}, "There is no mask"),
        ({"name": "mote/tinny"}, "There is no model 'tinny'; did you mean 'tiny'"),
        ({"presence_penalty": 1.0}, "presence_penalty"),
        ({"temprature": 1.0}, "did you mean 'temperature'"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_mistake_is_told_in_a_sentence(options, sentence, stream):
    with pytest.raises(Exception, match=sentence):  # LiteLLM's own classes, by status
        list(ask(stream=stream, **options))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("call", [litellm.completion, litellm.acompletion], ids=["sync", "async"])
def test_a_prompt_that_is_too_long_is_an_error_of_its_own(call, stream):
    async def drained(reply):
        reply = await reply if asyncio.iscoroutine(reply) else reply
        return [part async for part in reply] if hasattr(reply, "__aiter__") else list(reply)

    long = [{"role": "user", "content": "a " * 600}]
    with pytest.raises(litellm.ContextWindowExceededError, match="the model's context holds 512"):
        asyncio.run(drained(call(model="mote/tiny", messages=long, num_retries=0, stream=stream)))


def test_registering_twice_keeps_one_provider_and_those_of_others(model):
    other = {"provider": "other", "custom_handler": CustomLLM()}
    litellm.custom_provider_map = [*litellm.custom_provider_map, other]
    register({"tiny": model, "second": model})
    assert [item["provider"] for item in litellm.custom_provider_map].count("mote") == 1
    assert other in litellm.custom_provider_map
    assert ask("mote/second").choices[0].message.content == said(model)
    unregister("second")
    litellm.custom_provider_map.remove(other)


def test_a_name_with_a_colon_is_refused(model):
    with pytest.raises(InputError, match="has no colon"):
        register({"a:b": model})


def test_importing_the_provider_loads_neither_litellm_nor_torch():
    code = (
        "import sys, mote_backend.serving.litellm_provider, mote_backend.serving.server;"
        "print([m for m in ('litellm', 'torch', 'transformers', 'starlette', 'uvicorn') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
