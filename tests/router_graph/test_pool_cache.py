"""The cache: off unless asked for, keyed by everything that matters, and free."""

from __future__ import annotations

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.graph.message import add_messages
from pydantic import create_model

from router_graph.budget import Budget
from router_graph.errors import ModelServerError
from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool
from support.model_server import ModelServer
from support.served_pool import WAYS, answers, card, pool_of


def test_nothing_is_cached_unless_asked_for(server):
    pool = pool_of(server, "a")
    pool.invoke("a", "hello")
    pool.invoke("a", "hello")
    assert len(server.meter) == 2


@pytest.mark.parametrize("second", ["invoke", "ainvoke", "stream", "astream"])
@WAYS
def test_what_is_in_the_cache_costs_nothing(server, how, second):
    pool, ledger = pool_of(server, "a", cache=InMemoryCache()), Ledger(Budget(calls=1))
    first = answers(pool, how, "a", "hello", ledger=ledger)
    assert answers(pool, second, "a", "hello", ledger=ledger) == first
    assert len(server.meter) == len(ledger.entries) == 1


def test_a_conversation_is_found_in_the_cache_turn_by_turn(server):
    pool = pool_of(server, "a", cache=InMemoryCache())

    def talk():
        said = [HumanMessage("hello")]
        for _ in range(3):
            said += [pool.invoke("a", said).message, HumanMessage("and then?")]
        return [message.text for message in said]

    assert talk() == talk()
    assert len(server.meter) == 3


def test_whatever_changes_the_reply_is_in_the_cache_key(server):
    cache, tool = InMemoryCache(), {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    turns = [HumanMessage("hello"), AIMessage("one"), HumanMessage("hello")]
    with ModelServer() as other:
        pools = [
            ModelPool([card(where, "a", **facts), card(where, "b", **facts)], cache=cache)
            for where, facts in [
                (server, {}),
                (other, {}),
                (server, {"params": {"seed": 1}}),
                (server, {"max_tokens": 9}),
            ]
        ]
        first = pools[0]
        calls = [
            lambda: first.invoke("a", "hello"),
            lambda: first.invoke("b", "hello"),
            lambda: first.invoke("a", "Hello"),
            lambda: first.invoke("a", [SystemMessage("hello")]),
            lambda: first.invoke("a", [SystemMessage("Be short."), HumanMessage("hello")]),
            lambda: first.invoke("a", [SystemMessage("Be long."), HumanMessage("hello")]),
            lambda: first.invoke("a", turns),
            lambda: first.invoke("a", [*turns[:1], AIMessage("two"), *turns[2:]]),
            lambda: first.invoke("a", "hello", temperature=0.0),
            lambda: first.invoke("a", "hello", temperature=1.0),
            lambda: first.invoke("a", "hello", max_tokens=7),
            lambda: first.invoke("a", "hello", stop=["x"]),
            lambda: first.invoke("a", "hello", tools=[tool]),
            lambda: first.invoke("a", "hello", tools=[tool], tool_choice="required"),
            lambda: first.invoke("a", "hello", response_format={"type": "json_object"}),
            *(lambda pool=pool: pool.invoke("a", "hello") for pool in pools[1:]),
        ]
        for number, call in enumerate(calls):
            assert not call().cached, number
        for number, call in enumerate(calls):
            assert call().cached, number
        assert len(server.meter) + len(other.meter) == len(calls)


def test_a_failure_is_not_cached(server):
    pool = pool_of(server, "t-flaky1", cache=InMemoryCache(), retries=0)
    with pytest.raises(ModelServerError):
        pool.invoke("t-flaky1", "hello")
    assert not pool.invoke("t-flaky1", "hello").cached


def test_forms_of_a_reply_that_share_a_name_are_told_apart(server):
    pool = pool_of(server, "a", cache=InMemoryCache())
    for field in ("first", "second"):
        form = create_model("Form", **{field: (str, ...)})
        assert not pool.invoke("a", "hello", response_format=form).cached
        assert field in pool.invoke("a", "hello", response_format=form).text
    assert len(server.meter) == 2


def test_what_cannot_be_told_apart_is_not_cached():
    cache, asked = InMemoryCache(), []

    class Echo(GenericFakeChatModel):
        def _generate(self, messages, *args, **kwargs):
            asked.append(kwargs["mood"])
            return super()._generate(messages, *args, **kwargs)

    models = {"echo": Echo(messages=iter([AIMessage("one"), AIMessage("two")]))}
    pool = ModelPool([ModelCard(name="a", transport="echo", price="free")], transports=models, cache=cache)
    assert pool.invoke("a", "hello", mood=object()).text == "one"
    assert pool.invoke("a", "hello", mood=object()).text == "two"
    assert len(asked) == 2


def test_a_cache_that_is_full_does_not_take_a_paid_reply_along(server, caplog):
    class Full(InMemoryCache):
        async def aupdate(self, *_):
            raise OSError("disk full")

    assert pool_of(server, "a", cache=Full()).invoke("a", "hello").text
    assert "The cache did not take a reply of 'a'." in caplog.text


@WAYS
def test_what_a_caller_does_to_an_answer_is_not_in_the_cache(server, how):
    pool = pool_of(server, "a", cache=InMemoryCache())
    text, _ = answers(pool, how, "a", "hello")
    for _ in range(2):
        reply = pool.invoke("a", "hello")
        assert (reply.cached, reply.text) == (True, text)
        reply.message.content = "something else"


def test_two_answers_from_the_cache_are_two_messages_to_langgraph(server):
    model = pool_of(server, "a", cache=InMemoryCache()).as_chat_model("a")
    messages = [model.invoke("hello") for _ in range(3)]
    assert len(server.meter) == 1
    assert len(add_messages([], messages)) == 3


def test_a_cache_that_cannot_be_read_is_logged_and_passed_by(server, caplog):
    class Unreadable(InMemoryCache):
        def lookup(self, *args):
            raise OSError("the disk is gone")

    assert pool_of(server, "a", cache=Unreadable()).invoke("a", "hello").text
    assert "the disk is gone" in caplog.text


def test_a_key_in_a_header_is_not_in_the_cache(server):
    cache = InMemoryCache()
    pool_of(server, "a", cache=cache).invoke("a", "hello", extra_headers={"X-Key": "canary-0123456789"})
    assert cache._cache
    assert "canary" not in repr(cache._cache)
