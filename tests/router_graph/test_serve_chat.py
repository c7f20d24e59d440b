"""`polyroute serve` as OpenAI's own client sees it: answers, streams, budgets and policies of a request, threads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from router_graph.settings_live import Router, load_router
from support.handbook import QUESTION, make_shelf
from support.model_server import ModelServer
from support.router_server import serving

ASK = [{"role": "user", "content": QUESTION}]
CARDS = """
models:
- {name: fast, model: openai/good-n12, api_base: URL, price: {input: 1, output: 2}, max_tokens: 40}
- {name: slow, model: openai/b-slow3000, api_base: URL, price: {input: 1, output: 2}, max_tokens: 40}
- {name: tags, model: openai/good-tags, api_base: URL, price: {input: 1, output: 2}, max_tokens: 200}
"""


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory, provider: ModelServer) -> Iterator[Router]:
    folder = tmp_path_factory.mktemp("served")
    make_shelf(folder / "kb")
    (folder / "pool.yaml").write_text(CARDS.replace("URL", provider.url))
    (folder / "router.yaml").write_text(
        "knowledge: kb\npool: pool.yaml\npolicy: heuristic\ncheckpoints: threads.sqlite\nruns: runs\n"
        "turn: {usd: 0.05, exclude: ['kb:hostile']}\n"
    )
    with load_router(folder / "router.yaml") as router:
        yield router


@pytest.fixture(scope="module")
def url(router: Router) -> Iterator[str]:
    with serving(router) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, messages=ASK, model: str = "router", **options):
    extra = {"polyroute": options.pop("polyroute")} if "polyroute" in options else {}
    return client.chat.completions.create(model=model, messages=messages, extra_body=extra, **options)


def test_a_question_is_answered_with_its_sources_its_bill_and_its_steps(client):
    reply = ask(client)
    assert reply.choices[0].message.content == "30 [handbook:leave]"
    assert (reply.object, reply.model, reply.choices[0].finish_reason) == ("chat.completion", "router", "stop")
    told = reply.polyroute
    assert told["citations"] == [{"kb": "handbook", "doc_id": "leave", "title": "Leave"}]
    assert (told["policy"], told["stop_reason"], told["cost_usd"]) == ("heuristic", "answered", 0.0)
    assert told["steps"][0]["asked"][0]["to"] == "kb:handbook"
    assert {one["option"] for one in told["ledger"]} == {"kb:handbook"}


def test_a_stream_says_the_same_and_ends_with_the_facts_and_the_usage(client):
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    *spoken, last = chunks
    assert "".join(one.choices[0].delta.content or "" for one in spoken) == "30 [handbook:leave]"
    assert spoken[0].choices[0].delta.role == "assistant"
    assert [one.choices[0].finish_reason for one in spoken] == [None] * (len(spoken) - 1) + ["stop"]
    assert spoken[-1].polyroute["citations"][0]["doc_id"] == "leave"
    assert (last.choices, last.usage.total_tokens, last.usage.cost) == ([], 0, 0.0)
    assert len({one.id for one in chunks}) == 1


def test_events(client):
    chunks = list(ask(client, stream=True, polyroute={"events": True}))
    print([c.polyroute.get("event", {}).get("type") for c in chunks if c.model_extra.get("polyroute")])
    r = ask(client, model="router/direct:fast")
    print(r.to_json())
    r = ask(client, model="router/tags")
    print(r.to_json())
    print([m.id for m in client.models.list()])
    for bad in [
        dict(polyroute={"usd": 1}),
        dict(polyroute={"usd": -1}),
        dict(model="gpt-4o"),
        dict(n=2),
        dict(polyroute={"policy": "gate:/etc/passwd"}),
        dict(polyroute={"polcy": "x"}),
        dict(temprature=1),
        dict(messages=[]),
        dict(messages=[{"role": "tool", "content": "x"}]),
        dict(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}]),
        dict(tools=[{"type": "function"}]),
    ]:
        extra = {k: bad.pop(k) for k in ("temprature",) if k in bad}
        try:
            ask(client, **bad) if not extra else client.chat.completions.create(
                model="router", messages=ASK, extra_body=extra
            )
            print("OK?", bad)
        except openai.APIStatusError as e:
            print(type(e).__name__, e.message)
    assert 0
