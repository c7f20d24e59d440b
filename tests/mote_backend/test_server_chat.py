"""The endpoint as OpenAI's own client sees it: models, chat, streams, masks per request, tools, shared batches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from mote_backend.chat.chat_mote import ChatMoTE
from support.chat_models import until
from support.chat_templates import HERMES
from support.mote_server import LOUD, QUIET, serving, tiny_chat_mote

ASK = [{"role": "user", "content": "hello there"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look at a place.",
        "parameters": {
            "type": "object",
            "properties": {"far": {"type": "boolean"}},
            "required": ["far"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def model() -> ChatMoTE:
    return tiny_chat_mote(tokenizer={"chat_template": HERMES})


@pytest.fixture(scope="module")
def url(model: ChatMoTE) -> Iterator[str]:
    with serving({"tiny": model}) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def said(model: ChatMoTE, **options: Any) -> str:
    return model.invoke("hello there", **options).text


def ask(client: openai.OpenAI, name: str = "tiny", **options: Any) -> Any:
    return client.chat.completions.create(model=name, messages=ASK, **options)


def test_each_model_is_listed_alone_and_with_each_named_mask(client):
    listed = {one.id: one.mote for one in client.models.list()}
    assert listed == {
        "tiny": None,
        "tiny:quiet": {"id": QUIET.id, "name": "quiet"},
        "tiny:loud": {"id": LOUD.id, "name": "loud"},
    }
    assert client.models.retrieve("tiny:quiet").mote["id"] == QUIET.id
    with pytest.raises(openai.NotFoundError, match="no model of that name"):
        client.models.retrieve("other")


@pytest.mark.parametrize(
    ("name", "mask", "meant"),
    [
        ("tiny", None, None),
        ("tiny:quiet", None, QUIET),
        ("tiny", "quiet", QUIET),
        ("tiny", QUIET.id, QUIET),
        ("tiny", QUIET.to_json(), QUIET),
        ("tiny:quiet", "quiet", QUIET),
        ("tiny", LOUD.to_json(), LOUD),
    ],
)
def test_a_request_names_its_mask_and_the_reply_tells_which_it_was(client, model, name, mask, meant):
    body = {} if mask is None else {"mote_mask": mask}
    raw = client.chat.completions.with_raw_response.create(model=name, messages=ASK, extra_body=body)
    reply = raw.parse()
    assert reply.choices[0].message.content == said(model, mote_mask=meant)
    assert reply.mote == (meant and {"id": meant.id, "name": meant.name})
    assert raw.headers.get("x-mote-mask") == (meant and meant.id)
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens == 12
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 12
    assert (reply.model, reply.object) == (name, "chat.completion")


@pytest.mark.parametrize("mask", [None, "quiet"])
def test_a_stream_has_the_same_text_and_ends_with_the_reason_and_the_usage(client, model, mask):
    extra = {"mote_mask": mask} if mask else {}
    pieces = list(ask(client, stream=True, stream_options={"include_usage": True}, extra_body=extra))
    choices = [piece.choices[0] for piece in pieces[:-1]]
    assert "".join(choice.delta.content or "" for choice in choices) == said(model, mote_mask=mask)
    assert len(pieces) > 4
    assert choices[0].delta.role == "assistant"
    assert [choice.finish_reason for choice in choices] == [None] * (len(choices) - 1) + ["length"]
    assert pieces[-1].choices == []
    assert pieces[-1].usage.completion_tokens == 12
    assert {(piece.mote or {}).get("name") for piece in pieces} == {mask}


def test_a_stream_without_usage_has_none_and_ends_with_done(url):
    body = {"model": "tiny", "messages": ASK, "stream": True}
    lines = httpx.post(f"{url}/v1/chat/completions", json=body).text.strip().split("\n\n")
    assert lines[-1] == "data: [DONE]"
    assert all("usage" not in json.loads(line.removeprefix("data: ")) for line in lines[:-1])


def test_options_reach_the_model(client, model):
    reply = ask(client, max_completion_tokens=5, logprobs=True, top_logprobs=2, temperature=0.7, top_p=0.9, seed=3)
    own = model.invoke("hello there", max_tokens=5, logprobs=True, top_logprobs=2, temperature=0.7, top_p=0.9, seed=3)
    assert reply.choices[0].message.content == own.text
    told = reply.choices[0].logprobs.model_dump(exclude_none=True)["content"]
    assert [one["token"] for one in told] == [one["token"] for one in own.response_metadata["logprobs"]["content"]]
    whole = said(model)
    assert ask(client, stop=whole[3:5]).choices[0].message.content == whole[: whole.index(whole[3:5])]
    ids = ask(client, extra_body={"return_token_ids": True})
    assert len(ids.choices[0].token_ids) == 12
    assert len(ids.prompt_token_ids) == ids.usage.prompt_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_a_forced_tool_call_holds_to_its_schema(client, stream):
    options = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 200}
    if not stream:
        (choice,) = ask(client, **options).choices
        (call,) = choice.message.tool_calls
        name, arguments, number, reason = call.function.name, call.function.arguments, call.id, choice.finish_reason
    else:
        pieces = [piece.choices[0] for piece in ask(client, stream=True, **options)]
        parts = [part for piece in pieces for part in piece.delta.tool_calls or ()]
        assert {part.index for part in parts} == {0}
        name, number = parts[0].function.name, parts[0].id
        arguments, reason = "".join(part.function.arguments or "" for part in parts), pieces[-1].finish_reason
    assert (name, reason) == ("look", "tool_calls")
    assert set(json.loads(arguments)) == {"far"}
    assert number.startswith("call_")
    answered = [
        *ASK,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}],
        },
        {"role": "tool", "tool_call_id": number, "content": "a hill"},
    ]
    assert client.chat.completions.create(model="tiny", messages=answered, tools=[TOOL]).usage.prompt_tokens > 30


@pytest.mark.parametrize("stream", [False, True])
def test_half_a_character_in_a_call_that_a_model_makes_reaches_the_client(client, stream):
    call = r'<tool_call>\n\{"name": "look", "arguments": \{"far": "\\ud800"\}\}\n</tool_call>'
    wanted = {"extra_body": {"response_format": {"type": "regex", "pattern": call}}, "max_tokens": 200}
    reply = ask(client, stream=stream, tools=[TOOL], **wanted)
    if stream:
        parts = [part for piece in reply for part in piece.choices[0].delta.tool_calls or ()]
        text = "".join(part.function.arguments or "" for part in parts)
    else:
        text = reply.choices[0].message.tool_calls[0].function.arguments
    assert json.loads(text) == {"far": "\ud800"}


def test_a_reply_is_held_to_a_json_schema(client):
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "r", "schema": schema}}
    reply = ask(client, response_format=form, max_tokens=100)
    assert json.loads(reply.choices[0].message.content)["a"] in (1, 2)


async def test_eight_requests_with_different_masks_share_a_batch(url, model):
    names = ["tiny", "tiny:quiet"] * 4
    before = len(model.engine().batch_sizes)
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
        calls = [client.chat.completions.create(model=name, messages=ASK) for name in names]
        replies = await asyncio.gather(*calls)
    assert max(model.engine().batch_sizes[before:]) >= 4
    assert [one.choices[0].message.content for one in replies] == [said(model), said(model, mote_mask=QUIET)] * 4


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_frees_the_engine(url, model, stream):
    worker = model.engine()._worker
    body = {"model": "tiny", "messages": ASK, "max_tokens": 400, "stream": stream}
    with httpx.Client() as client:
        if stream:
            with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
                lines = response.iter_lines()  # which, dropped, would hang up
                next(lines)
                rows = tuple(worker._running)
                assert rows
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post(f"{url}/v1/chat/completions", json=body, timeout=0.1)
            rows = tuple(worker._running)
    until(lambda: not worker._running)
    assert all(row.future.cancelled() and len(row.tokens) < 350 for row in rows)
