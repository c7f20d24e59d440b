"""The pool as a LangChain chat model, in real graphs: who streams, who served, and on whose account."""

from __future__ import annotations

import asyncio
import functools
import operator
import os
import signal
import threading
from collections.abc import Iterator

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.language_models import FakeListChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import create_react_agent
from pydantic import BaseModel

from router_graph.accounts import Accounts
from router_graph.budget import Amount, Budget
from router_graph.errors import BudgetExceededError, LedgerError, ModelError
from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool
from support.chat_models import PRICE, READ, InTwoParts, Plain, local, until
from support.model_server import ModelServer

NAMES = "good good-n42-pace5 good-n400-pace5 good-hang good-tool a-500 a-half".split()


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def pool(server) -> ModelPool:
    cards = [ModelCard(name=name, model=f"openai/{name}", api_base=server.url, price=PRICE) for name in NAMES]
    return ModelPool(cards, fallbacks={"a-500": ["good"], "a-half": ["good"]}, retries=0)


def graph(node):
    return StateGraph(MessagesState).add_node("ask", node).add_edge(START, "ask").add_edge("ask", END).compile()


def sync_node(model):
    return lambda state: {"messages": [model.invoke(state["messages"])]}


def async_node(model):
    async def node(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    return node


def thread(name):
    return {"configurable": {"thread_id": name}}


class Runs(BaseCallbackHandler):
    """What LangChain's callbacks are told."""

    def __init__(self):
        self.started, self.ended, self.tokens = 0, 0, []

    def on_chat_model_start(self, *args, **kwargs):
        self.started += 1

    def on_llm_new_token(self, token, **kwargs):
        self.tokens.append(token)

    def on_llm_end(self, *args, **kwargs):
        self.ended += 1


@pytest.mark.parametrize("kind", ["provider", "list", "generic", "plain"])
async def test_in_a_graph_every_token_arrives_exactly_once(pool, kind):
    words = "one two three"
    made = {
        "provider": lambda: pool.as_chat_model("good"),
        "list": lambda: local(FakeListChatModel(responses=[words])),
        "generic": lambda: local(GenericFakeChatModel(messages=iter([AIMessage(words)]))),
        "plain": lambda: local(Plain()),
    }[kind]
    asked = {"messages": [HumanMessage("hello")]}
    sync = [piece for piece, _ in graph(sync_node(made())).stream(asked, stream_mode="messages")]
    asynchronous = [piece async for piece, _ in graph(async_node(made())).astream(asked, stream_mode="messages")]
    for pieces in (sync, asynchronous):
        assert "".join(piece.text for piece in pieces) == (await made().ainvoke("hello")).text
        assert len({piece.id for piece in pieces}) == 1
        assert [piece.chunk_position for piece in pieces].count("last") == 1
        assert kind == "plain" or len(pieces) > 3


@pytest.mark.parametrize("how", ["invoke", "stream", "astream_events"])
async def test_a_call_is_one_run_with_one_usage_for_callbacks_whoever_is_behind_it(how):
    whole = AIMessage("one two", usage_metadata=READ, response_metadata={"model_name": "m-1"})
    model = local(InTwoParts(messages=iter([whole])))
    runs, ends = Runs(), []
    with get_usage_metadata_callback() as used:
        if how == "invoke":
            model.invoke("hello", {"callbacks": [runs]})
        elif how == "stream":
            assert "".join(piece.text for piece in model.stream("hello", {"callbacks": [runs]})) == "one two"
        else:
            events = [event async for event in model.astream_events("hello", {"callbacks": [runs]}, version="v2")]
            ends = [event["event"] for event in events if event["event"].endswith(("start", "end"))]
            assert ends == ["on_chat_model_start", "on_chat_model_end"]
    assert (runs.started, runs.ended) == (1, 1)
    assert "".join(runs.tokens) == ("" if how == "invoke" else "one two")
    assert {name: usage["total_tokens"] for name, usage in used.usage_metadata.items()} == {
        "m-1": 11 if how == "invoke" else 15
    }


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
async def test_a_reply_says_who_really_served_and_what_failed_first(pool, how):
    model, ledger = pool.as_chat_model("a-500"), Ledger()
    if how == "astream":
        pieces = [piece async for piece in model.astream("hello", ledger=ledger)]
    elif how == "stream":
        pieces = list(model.stream("hello", ledger=ledger))
    else:
        pieces = [
            model.invoke("hello", ledger=ledger) if how == "invoke" else await model.ainvoke("hello", ledger=ledger)
        ]
    said = functools.reduce(operator.add, pieces).response_metadata
    assert (said["card"], said["model_name"], said["finish_reason"]) == ("good", "good", "stop")
    assert said["failures"] == [{"model": "a-500", "error": "ModelServerError"}]
    assert said["usd"] == ledger.spent.usd > 0
    assert sum("model_name" in piece.response_metadata for piece in pieces) == 1
    assert [row["name"] for row in ledger.bill()] == ["a-500", "good"]


def test_half_an_answer_is_not_taken_back_when_a_stream_breaks(pool):
    pieces, ledger = [], Ledger()
    with pytest.raises(ModelError):
        pieces.extend(pool.as_chat_model("a-half", ledger=ledger).stream("hello"))
    assert [row["name"] for row in ledger.bill()] == ["a-half"]


async def test_each_thread_of_a_graph_pays_for_its_own_calls(pool):
    accounts = Accounts(budget=Budget(calls=2))
    judge = pool.as_chat_model("good", ledger=accounts.for_config, purpose="judge")
    policy = pool.as_chat_model("good", ledger=accounts.for_config).bind(purpose="policy", max_tokens=4)

    async def node(state):
        return {"messages": [policy.invoke(state["messages"]), await judge.ainvoke(state["messages"])]}

    for name in ("t1", "t2"):
        await graph(node).ainvoke({"messages": [HumanMessage("hello")]}, thread(name))
        bill = accounts.open(name).bill()
        assert [row["purpose"] for row in bill] == ["policy", "judge"]
        assert accounts.open(name).spent.calls == 2
    with pytest.raises(BudgetExceededError):
        await graph(async_node(judge)).ainvoke({"messages": [HumanMessage("hello")]}, thread("t1"))
    with pytest.raises(LedgerError, match="names no thread"):
        judge.invoke("hello")


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_agent_calls_a_tool_and_reads_what_it_says_on_one_account(pool, is_async):
    @tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    ledger = Ledger()
    agent = create_react_agent(pool.as_chat_model("good-tool", ledger=ledger), [weather])
    asked = {"messages": [HumanMessage("what is the weather?")]}
    said = (await agent.ainvoke(asked) if is_async else agent.invoke(asked))["messages"]
    assert [message.type for message in said] == ["human", "ai", "tool", "ai"]
    assert said[2].text.startswith("rain in")
    assert said[3].text
    assert ledger.spent.calls == 2
    assert ledger.spent.tokens == sum(message.usage_metadata["total_tokens"] for message in (said[1], said[3]))


class Answer(BaseModel):
    """An answer with a source."""

    answer: str
    source: str


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_structured_output_is_asked_for_as_the_method_says(pool, server, method):
    schema = {"type": "object", "title": "Any"} if method == "json_mode" else Answer
    strict = None if method == "json_mode" else True
    model = pool.as_chat_model("good")
    said = model.with_structured_output(schema, method=method, strict=strict, include_raw=True).invoke("hello")
    assert said["parsing_error"] is None
    assert isinstance(said["parsed"], Answer) or list(said["parsed"]) == ["answer"]
    asked = server.seen[-1].body
    if method == "function_calling":
        assert asked["tools"][0]["function"]["name"] == "Answer"
        assert asked["tools"][0]["function"]["strict"] is True
    else:
        assert asked["response_format"]["type"] == {"json_mode": "json_object"}.get(method, method)
    assert type(model.with_structured_output(schema, method=method).invoke("hello")) is type(said["parsed"])


def test_options_hold_by_any_of_their_names_and_a_call_can_change_them(pool, server):
    model = pool.as_chat_model("good", timeout=9, retries=0, stop=["x"], temperature=0.5, top_p=0.3, api_key="sk-1")
    assert (model.deadline_s, model.retries, model.params) == (9, 0, {"top_p": 0.3})
    model.invoke("hello", timeout=5, max_retries=1, stop=["y"], temperature=0, stream=False)
    body = server.seen[-1].body
    assert (body["top_p"], body["temperature"], body["stop"]) == (0.3, 0, ["y"])
    assert not {"timeout", "max_retries", "api_key"} & body.keys()
    pool.as_chat_model("good", params={"temperature": 0.7}).invoke("hello")
    assert server.seen[-1].body["temperature"] == 0.7


def test_two_pools_that_call_different_models_by_one_name_share_no_cached_answer():
    cache = InMemoryCache()
    first, second = (
        ModelPool([ModelCard(name="m", model=model, transport="it", price="free")], transports={"it": fake})
        for model, fake in (("a", FakeListChatModel(responses=["a"])), ("b", FakeListChatModel(responses=["b"])))
    )
    said = [pool.as_chat_model("m", cache=cache).invoke("hello").text for pool in (first, second, first)]
    assert said == ["a", "b", "a"]


async def test_sync_calls_work_where_an_event_loop_runs(pool):
    assert pool.as_chat_model("good").invoke("hello").text
    assert len(list(pool.as_chat_model("good").stream("hello"))) > 3


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_stream_left_early_hangs_up_and_books_the_worst_case(pool, server, is_async):
    ledger = Ledger()
    model = pool.as_chat_model("good-n400-pace5", ledger=ledger, max_tokens=400)
    if is_async:
        async for _ in model.astream("hello"):
            break
        await asyncio.sleep(0.05)
    else:
        for _ in model.stream("hello"):
            break
    until(lambda: ledger.reserved == Amount())
    await asyncio.to_thread(server.settle)
    (entry,) = ledger.entries.values()
    assert (entry["state"], entry["estimated"]) == ("settled", True)
    assert entry["spent"]["picousd"] == entry["reserved"]["picousd"]
    assert server.meter[-1].completion < 100
    assert not server.meter[-1].finished


def test_ctrl_c_ends_a_sync_call_and_books_its_worst_case(pool, server):
    ledger = Ledger()
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        pool.as_chat_model("good-hang", ledger=ledger).invoke("hello")
    server.settle()
    (entry,) = ledger.entries.values()
    assert (entry["state"], entry["error"]) == ("settled", "CancelledError")
    assert ledger.spent.picousd == entry["reserved"]["picousd"] > 0
