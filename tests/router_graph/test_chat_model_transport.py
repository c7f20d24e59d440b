"""Any LangChain chat model behind the pool: what it need not be able to do, and what it is billed."""

from __future__ import annotations

import asyncio
import functools
import operator
import time

import pytest
from langchain_core.language_models import FakeListChatModel, FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.rate_limiters import InMemoryRateLimiter

from router_graph.errors import MalformedReplyError, ModelError
from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool
from support.chat_models import PRICE, InTwoParts, Plain, local


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_a_model_without_streaming_async_or_usage_serves_and_is_counted(how):
    ledger = Ledger()
    model = local(Plain(), ledger=ledger)
    said = model.invoke("hello") if how == "invoke" else functools.reduce(operator.add, model.stream("hello"))
    assert said.text == "one two three"
    facts = said.response_metadata
    assert (facts["model_name"], facts["finish_reason"], facts["seed"]) == ("plain-1", "stop", 7)
    assert facts["estimated"]
    assert said.usage_metadata["output_tokens"] >= 3
    assert [row["estimated"] for row in ledger.bill()] == [True]


def test_a_usage_that_comes_in_two_parts_is_added_up():
    ledger = Ledger()
    said = functools.reduce(operator.add, local(InTwoParts(messages=iter([])), ledger=ledger).stream("hello"))
    assert said.usage_metadata["total_tokens"] == 15
    assert ledger.spent.picousd == (10 * 1 + 5 * 2) * 10**6
    assert said.response_metadata["finish_reason"] == "stop"


async def test_the_first_part_of_a_usage_is_not_what_a_call_took_that_was_broken_off():
    ledger = Ledger()
    stream = local(InTwoParts(messages=iter([])), ledger=ledger).astream("hello")
    assert (await anext(stream)).text == "one "
    await stream.aclose()
    await asyncio.sleep(0.02)
    (entry,) = ledger.entries.values()
    assert (entry["state"], entry["estimated"]) == ("settled", True)
    assert entry["spent"]["picousd"] == entry["reserved"]["picousd"]


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_a_model_that_raises_is_booked_and_its_fallback_is_asked(how):
    cards = [ModelCard(name=name, transport=name, price=PRICE) for name in ("bad", "spare")]
    models = {"bad": Plain(error=ValueError("boom")), "spare": FakeListChatModel(responses=["fine"])}
    pool = ModelPool(cards, transports=models, fallbacks={"bad": ["spare"]}, retries=0)
    ledger = Ledger()
    model = pool.as_chat_model("bad", ledger=ledger)
    assert (model.invoke("hi").text if how == "invoke" else "".join(p.text for p in model.stream("hi"))) == "fine"
    assert [(row["name"], row["usd"] > 0) for row in ledger.bill()] == [("bad", True), ("spare", True)]
    with pytest.raises(ModelError, match="boom"):
        pool.as_chat_model("bad", fallbacks=()).invoke("hi")


def test_a_stream_in_which_nothing_comes_is_a_failure():
    with pytest.raises(MalformedReplyError, match="without a reply"):
        list(local(FakeListChatModel(responses=[""])).stream("hello"))


def test_a_model_keeps_its_own_message_and_its_own_pace():
    message = AIMessage("always the same")
    limiter = InMemoryRateLimiter(requests_per_second=20, check_every_n_seconds=0.01, max_bucket_size=1)
    model = local(FakeMessagesListChatModel(responses=[message], rate_limiter=limiter))
    started = time.monotonic()
    assert {model.invoke("hello").text for _ in range(4)} == {"always the same"}
    assert time.monotonic() - started > 0.14
    assert (message.id, message.response_metadata) == (None, {})
