"""`polyroute serve` as OpenAI's own client sees it: answers, streams, budgets and policies of a request, threads."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator

import httpx
import openai
import pytest
from PIL import Image

from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool
from router_graph.settings_live import Router
from router_graph.trajectories.reader import read_runs
from support.handbook import QUESTION
from support.model_server import ModelServer
from support.router_server import serving
from support.served_router import ANSWER, ASK, ENDING, open_router


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory, provider: ModelServer) -> Iterator[Router]:
    with open_router(tmp_path_factory.mktemp("served"), provider) as router:
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


def said(chunks) -> str:
    return "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)


def events_of(chunks) -> list[dict]:
    told = [one.model_extra.get("polyroute") or {} for one in chunks]
    return [one["event"] for one in told if "event" in one]


def test_a_question_is_answered_with_its_sources_its_bill_and_its_steps(client):
    reply = ask(client)
    assert reply.choices[0].message.content == ANSWER
    assert (reply.object, reply.model, reply.choices[0].finish_reason) == ("chat.completion", "router", "stop")
    told = reply.polyroute
    assert told["citations"] == [{"kb": "handbook", "doc_id": "leave", "title": "Leave"}]
    assert (told["policy"], told["stop_reason"], told["cost_usd"]) == ("heuristic", "answered", 0.0)
    first = told["steps"][0]["asked"]
    assert {one["to"] for one in first} == {"kb:handbook", "kb:streams"}
    assert {one["query"] for one in first} == {QUESTION}
    assert next(one for one in first if one["to"] == "kb:handbook")["documents"][0] == "handbook:leave"
    assert {one["option"] for one in told["ledger"]} >= {"kb:handbook"}


def test_what_models_cost_is_in_the_usage_and_in_the_ledger(client, server):
    reply = ask(client, model="router/direct:fast")
    (row,) = server.meter
    told, usage = reply.polyroute, reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (row.prompt, row.completion)
    assert usage.cost == told["cost_usd"] == pytest.approx((row.prompt + 2 * row.completion) / 1e6)
    (call,) = [one for one in told["ledger"] if one["option"] == "llm:fast"]
    assert (call["purpose"], call["tokens"], call["usd"]) == ("model", usage.total_tokens, usage.cost)
    assert (told["policy"], reply.model) == ("direct:fast", "router/direct:fast")


def test_a_stream_says_the_same_and_ends_with_the_facts_and_the_usage(client):
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    *spoken, last = chunks
    assert said(spoken) == ANSWER
    assert spoken[0].choices[0].delta.role == "assistant"
    assert [one.choices[0].finish_reason for one in spoken] == [None] * (len(spoken) - 1) + ["stop"]
    assert spoken[-1].polyroute["citations"][0]["doc_id"] == "leave"
    assert (last.choices, last.usage.total_tokens, last.usage.cost) == ([], 0, 0.0)
    assert len({one.id for one in chunks}) == 1
    assert events_of(chunks) == []


async def test_the_async_client_streams_what_the_router_does_and_no_document_ends_the_stream(url):
    question = [{"role": "user", "content": "How does a stream of events end?"}]
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="router/kb:streams", messages=question, stream=True, extra_body={"polyroute": {"events": True}}
        )
        chunks = [one async for one in stream]
    events = events_of(chunks)
    kinds = [one["type"] for one in events]
    assert (kinds[0], kinds[-1]) == ("turn", "answer")
    assert {"step", "decision", "observation"} <= set(kinds)
    (hit,) = next(one["observation"]["hits"] for one in events if one["type"] == "observation")
    assert ENDING in hit["text"]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert said(chunks) == events[-1]["answer"]


def test_no_line_of_a_stream_is_broken_by_what_is_in_it(url):
    body = {"model": "router/kb:streams", "messages": ASK, "stream": True, "polyroute": {"events": True}}
    text = httpx.post(f"{url}/v1/chat/completions", json=body).text
    lines = [line for line in text.splitlines() if line]  # at U+2028 and U+0085 too
    assert [line for line in lines if not line.startswith("data: {")] == ["data: [DONE]"]
    assert all("usage" not in json.loads(line.removeprefix("data: ")) for line in lines[:-1])


def test_earlier_messages_are_the_thread_and_a_system_message_is_read_first(client, server):
    messages = [
        {"role": "assistant", "content": "Lost without a question."},
        {"role": "user", "content": "Who pays for taxis?"},
        {"role": "assistant", "content": "The firm does.", "tool_calls": []},
        {"role": "system", "content": "Answer in Latin."},
        {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "for trains?"}]},
    ]
    ask(client, messages, model="router/fast")
    sent = [(one["role"], one["content"]) for one in server.seen[0].body["messages"]]
    assert sent[1:5] == [
        ("user", "Question: Answer in Latin."),
        ("assistant", "<answer>Lost without a question.</answer>"),
        ("user", "Question: Who pays for taxis?"),
        ("assistant", "<answer>The firm does.</answer>"),
    ]
    assert "And\nfor trains?" in sent[5][1]


def test_a_thread_that_the_router_keeps_is_gone_on_with(client, router, server):
    ask(client, polyroute={"thread": "t 1"})
    reply = ask(client, [{"role": "user", "content": "unread"}, *ASK], polyroute={"thread": "t 1", "policy": "fast"})
    assert reply.choices[0].message.content
    sent = [one["content"] for one in server.seen[0].body["messages"]]
    assert [one for one in sent if one == f"<answer>{ANSWER}</answer>"]
    assert not [one for one in sent if "unread" in one]
    state = router.graph.get_state({"configurable": {"thread_id": "t 1"}})
    assert [one.type for one in state.values["messages"]] == ["human", "ai", "human", "ai"]


def test_a_picture_goes_to_the_models(client, server):
    picture = io.BytesIO()
    Image.new("RGB", (2, 2)).save(picture, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    ask(client, [{"role": "user", "content": parts}], model="router/fast")
    assert url in json.dumps(server.seen[0].body["messages"])
    with pytest.raises(openai.BadRequestError, match="no picture that can be read"):
        parts[1]["image_url"]["url"] = "data:image/png;base64,QUJD"
        ask(client, [{"role": "user", "content": parts}])


@pytest.mark.parametrize(
    ("options", "text", "reason"),
    [
        ({"max_tokens": 3}, "30 [handbook", "length"),
        ({"max_completion_tokens": 1, "max_tokens": 50}, "30", "length"),
        ({"max_tokens": 6}, ANSWER, "stop"),
        ({"stop": " ["}, "30", "stop"),
        ({"stop": ["leave", "nothing", "hand"], "max_tokens": 50}, "30 [", "stop"),
        ({"temperature": 0.3, "top_p": 0.5, "n": 1, "tools": [], "seed": 7, "store": False}, ANSWER, "stop"),
        ({"logprobs": False, "response_format": {"type": "text"}, "tool_choice": "none"}, ANSWER, "stop"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_options_that_are_honoured_and_options_that_change_nothing(client, options, text, reason, stream):
    reply = ask(client, stream=stream, **options)
    if stream:
        chunks = list(reply)
        assert (said(chunks), chunks[-1].choices[0].finish_reason) == (text, reason)
    else:
        assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (text, reason)


def test_limits_of_a_request_hold(client, server):
    reply = ask(client, model="router/gate", polyroute={"only": ["kb:handbook"], "max_steps": 1, "k": 1, "seed": 3})
    asked = [one for step in reply.polyroute["steps"] for one in step["asked"]]
    assert {one["to"] for one in asked} == {"kb:handbook"}
    assert all(len(one["documents"]) <= 1 for one in asked)
    poor = ask(client, model="router/direct:fast", polyroute={"usd": 1e-9})
    assert (poor.polyroute["stop_reason"], poor.usage.cost) == ("no_answer", 0)
    assert not server.meter


@pytest.mark.parametrize("given", [[], ["kb:streams"]])
def test_what_the_operator_excludes_no_request_allows(client, given):
    reply = ask(client, model="router/fanout", polyroute={"exclude": given})
    asked = {one["to"] for step in reply.polyroute["steps"] for one in step["asked"]}
    assert "kb:hostile" not in asked and asked.isdisjoint(given)


def test_a_policy_that_fails_still_gives_an_answer_and_tells_the_problem(client, server):
    reply = ask(client, model="router/broken")
    told = reply.polyroute
    assert (told["stop_reason"], told["cost_usd"]) == ("policy_failed", 0)
    assert "broken" in told["problem"]
    assert reply.choices[0].message.content.startswith("No answer was found")


def test_models_are_the_router_and_the_policies_that_need_no_file(client):
    names = [one.id for one in client.models.list()]
    assert names[0] == "router"
    assert {"router/heuristic", "router/gate", "router/kb:handbook", "router/fast"} <= set(names)
    assert not [one for one in names if "llm:" in one or "local" in one or "knn" in one]
    assert client.models.retrieve("router/kb:handbook").owned_by == "polyroute"
    with pytest.raises(openai.NotFoundError, match="no model of that name"):
        client.models.retrieve("router/nobody")


def test_the_description_names_what_can_be_asked(client, url):
    told = httpx.get(f"{url}/openapi.json").json()
    assert set(told["paths"]) == {"/v1/chat/completions", "/v1/models", "/v1/models/{name}", "/health"}
    schemas = told["components"]["schemas"]
    assert schemas["Request"]["properties"]["model"]["anyOf"][0]["enum"] == [one.id for one in client.models.list()]
    assert "kb:handbook" in schemas["Extra"]["properties"]["route"]["anyOf"][0]["enum"]
    assert ask(client, **schemas["Request"]["examples"][0]).choices


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n": 2}, "n cannot be given: a question has one answer"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools cannot be given"),
        ({"logprobs": True}, "logprobs cannot be given"),
        ({"response_format": {"type": "json_object"}}, "response_format cannot be given: an answer is text"),
        ({"messages": []}, "messages is"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "role is 'tool'"),
        ({"messages": [*ASK, {"role": "assistant", "content": "x"}]}, "last message is of the role 'assistant'"),
        ({"messages": [{"role": "user", "content": " \n"}]}, "The question is empty"),
        ({"messages": [{"role": "user", "content": "x" * 100_001}]}, "100,001 characters"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"stop": [""]}, "stop"),
        ({"seed": 10**30}, "seed is"),
        ({"extra_body": {"temprature": 1}}, "did you mean 'temperature'?"),
        ({"extra_body": {"usd": 1}}, "a limit of the router stands in polyroute"),
        ({"polyroute": {"usd": -1}}, "polyroute: usd is -1; it must be greater than 0."),
        ({"polyroute": {"usd": "0.01"}}, "polyroute: usd is '0.01'"),
        ({"polyroute": {"usd": 1}}, "usd is 1, and this server allows 0.05 at the most."),
        ({"polyroute": {"max_steps": 9}}, "this server allows 5"),
        ({"polyroute": {"polcy": "gate"}}, "did you mean 'policy'?"),
        ({"polyroute": {"only": ["kb:handbok"]}}, "did you mean 'kb:handbook'?"),
        ({"polyroute": {"policy": "gate"}, "model": "router/fast"}, "give one"),
        ({"polyroute": {"thread": "a\r\nb"}}, "polyroute: thread is"),
        ({"polyroute": []}, "polyroute: it is []; it must hold keys and values."),
        ({"messages": ["hello"]}, "messages.0 is 'hello': it must hold keys and values."),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b.png"}}]}
                ]
            },
            "a picture is sent along, as in data:image/png;base64,…, and not fetched",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence_before_anything_is_spent(client, server, options, sentence):
    body = {"polyroute": options.pop("polyroute")} if "polyroute" in options else options.pop("extra_body", {})
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(
                **{"model": "router", "messages": ASK, "stream": stream, **options}, extra_body=body
            )
        error = caught.value.body
        assert sentence in error["message"]
        assert error["type"] == "invalid_request_error"
        assert len(error["message"]) < 600
    assert not server.meter


@pytest.mark.parametrize(
    "options",
    [
        {"model": "gpt-4o"},
        {"model": "router/gate:/etc/passwd"},
        {"model": "router/local:/tmp"},
        {"model": "router/openai/gpt-4o"},
        {"model": "router/"},
        {"model": "router/a\r\nx-evil: 1"},
        {"polyroute": {"policy": "openai/gpt-4o"}},
        {"polyroute": {"shadow": "knn:/etc/passwd"}},
        {"polyroute": {"policy": "direct:nobody"}},
    ],
)
def test_a_client_names_no_file_and_no_model_that_the_router_has_not(client, options):
    with pytest.raises(openai.NotFoundError, match=r"There is no (model|policy) ") as caught:
        ask(client, **options)
    assert caught.value.code == "model_not_found"
    assert "x-evil" not in caught.value.response.headers


def test_what_an_assistant_said_reaches_no_model_that_must_not_see_the_documents_behind_it(client, server):
    told = [*ASK, {"role": "assistant", "content": "Of the hostile base."}, {"role": "user", "content": "And?"}]
    with pytest.raises(openai.BadRequestError, match="must not reach it"):
        ask(client, told, model="router/broken")
    assert ask(client, told, model="router/fast").choices[0].message.content
    assert [row.model for row in server.meter] == ["good-n12"] * len(server.meter)


def test_runs_are_recorded_with_what_the_client_says_of_itself(client, router):
    reply = ask(client, user="u1", metadata={"question_id": "q7"})
    (run,) = read_runs(router.recorder.writer.folder, where=lambda run: run.run_id == reply.polyroute["run"])
    assert run.metadata == {"client_user": "u1", "client_metadata": {"question_id": "q7"}}


async def test_a_router_is_a_model_of_another_router_and_its_reply_says_what_it_cost(url, server):
    card = {"name": "inner", "model": "openai/router", "api_base": f"{url}/v1", "max_tokens": 50}
    card["ceiling"] = {"input": 0, "output": 0, "per_call": 0.05}
    card["params"] = {"extra_body": {"polyroute": {"policy": "direct:fast", "usd": 0.05}}}
    pool, ledger = ModelPool([ModelCard(**card)]), Ledger()
    reply = await pool.ainvoke("inner", QUESTION, ledger=ledger)
    pieces = [one async for one in pool.astream("inner", QUESTION, ledger=ledger)]
    assert "".join(one.text for one in pieces) == reply.text
    entries = list(ledger.entries.values())
    bills = [(row.prompt + row.completion, (row.prompt + 2 * row.completion) / 1e6) for row in server.meter]
    assert [(one["spent"]["tokens"], one["spent"]["picousd"] / 1e12) for one in entries] == bills
    assert not any(one["estimated"] for one in entries)


def test_sixty_questions_at_once_are_all_answered(url):
    async def all_of_them() -> list[str]:
        limits = httpx.Limits(max_connections=60)
        async with httpx.AsyncClient(timeout=30, limits=limits) as client:
            body = {"model": "router/kb:handbook", "messages": ASK}
            replies = await asyncio.gather(*(client.post(f"{url}/v1/chat/completions", json=body) for _ in range(60)))
        return [one.json()["choices"][0]["message"]["content"] for one in replies]

    assert asyncio.run(all_of_them()) == [ANSWER] * 60
