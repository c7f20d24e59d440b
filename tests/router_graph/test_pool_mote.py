"""Models with switchable experts in the pool: as a chat model, and as LiteLLM's provider `mote`."""

from __future__ import annotations

import asyncio
import functools

import pytest

from mote_backend.chat.chat_mote import ChatMoTE
from mote_backend.mask import ExpertMask
from mote_backend.mask_book import MaskBook
from mote_backend.serving.litellm_provider import register, unregister
from router_graph.errors import ContextTooLongError, ModelError, RequestRejectedError
from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool
from support.chat_models import until
from support.mote_server import serving
from support.served_pool import WAYS, answers
from support.tiny_engine import byte_tokenizer, tiny_model

OFF = ExpertMask(off=frozenset({(0, 1), (0, 4), (1, 2), (1, 6)}), name="quiet")
REACHED = pytest.mark.parametrize("transport", ["chat", "litellm"])


@functools.cache
def chat_model() -> ChatMoTE:
    return ChatMoTE(model=(tiny_model(), byte_tokenizer()), mask_book=MaskBook([OFF], only_named=True))


@pytest.fixture(autouse=True)
def registered():
    register({"tiny": chat_model()})
    yield
    unregister("tiny")


def said(**options) -> str:
    return chat_model().invoke("hello there", max_tokens=12, **options).text


def pool(transport: str, **facts) -> ModelPool:
    facts = {"transport": transport, "price": {"input": 1, "output": 2}, "max_tokens": 12, "model": "mote/tiny"} | facts
    cards = [ModelCard(name="bare", **facts), ModelCard(name="masked", mask="quiet", **facts)]
    return ModelPool(cards, transports={"chat": chat_model()}, retries=0)


@WAYS
@REACHED
def test_two_cards_of_one_model_reply_with_and_without_the_mask(transport, how):
    both = pool(transport)
    assert said() != said(mote_mask=OFF)
    assert answers(both, how, "bare", "hello there") == (said(), "bare")
    assert answers(both, how, "masked", "hello there") == (said(mote_mask=OFF), "masked")


@REACHED
@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_a_call_is_billed_by_the_card_for_the_tokens_that_the_model_counted(transport, how):
    ledger = Ledger()
    answers(pool(transport), how, "masked", "hello there", ledger=ledger)
    (row,) = ledger.bill()
    usage = chat_model().invoke("hello there", max_tokens=12, mote_mask=OFF).usage_metadata
    assert ledger.spent.picousd == (usage["input_tokens"] + 2 * usage["output_tokens"]) * 10**6
    assert not row["estimated"]


@REACHED
def test_a_model_of_ones_own_costs_nothing_where_its_card_says_free(transport):
    ledger = Ledger()
    pool(transport, price="free").invoke("bare", "hello there", ledger=ledger)
    assert ledger.spent.usd == 0
    assert ledger.spent.tokens > 0


@REACHED
def test_concurrent_calls_of_both_cards_share_a_batch(transport):
    both = pool(transport)
    asyncio.run(both.ainvoke("bare", "warm up"))

    async def eight():
        return await asyncio.gather(*[both.ainvoke(name, "hello there") for name in ["bare", "masked"] * 4])

    before = len(chat_model().engine().batch_sizes)
    replies = asyncio.run(eight())
    assert max(chat_model().engine().batch_sizes[before:]) >= 4
    assert [reply.text for reply in replies] == [said(), said(mote_mask=OFF)] * 4


@REACHED
def test_a_mask_that_the_deployment_does_not_have_is_one_sentence_and_costs_nothing(transport):
    card = ModelCard(name="a", model="mote/tiny", transport=transport, price={"input": 1, "output": 2}, mask="quite")
    ledger = Ledger()
    with pytest.raises(ModelError, match="did you mean 'quiet'"):
        ModelPool([card], transports={"chat": chat_model()}, retries=0).invoke("a", "hello", ledger=ledger)
    assert transport == "chat" or ledger.spent.usd == 0


NOT_NAMED = {"off": {"1": [3]}}


@REACHED
def test_a_mask_that_is_not_allowed_is_no_matter_of_a_key(transport):
    with pytest.raises(RequestRejectedError, match=r"is not allowed here; allowed are quiet"):
        pool(transport).invoke("bare", "hello there", mote_mask=NOT_NAMED)


def test_a_mask_that_a_server_does_not_allow_is_no_matter_of_a_key():
    with serving({"tiny": chat_model()}) as url:
        served = pool("litellm", model="openai/tiny", api_base=f"{url}/v1")
        with pytest.raises(RequestRejectedError, match=r"is not allowed here; allowed are quiet"):
            served.invoke("bare", "hello there", extra_body={"mote_mask": NOT_NAMED})


@WAYS
@REACHED
def test_a_prompt_that_is_too_long_is_told_as_such_and_costs_nothing(transport, how):
    ledger = Ledger()
    with pytest.raises(ContextTooLongError, match="context holds 512"):
        answers(pool(transport), how, "bare", "hello " * 300, ledger=ledger)
    assert ledger.spent.usd == 0


def test_an_unknown_model_of_the_provider_is_refused_with_the_known_ones():
    card = ModelCard(name="a", model="mote/tinny", price="free")
    with pytest.raises(ModelError, match="There is no model 'tinny'; did you mean 'tiny'"):
        ModelPool([card], retries=0).invoke("a", "hello")


def test_a_parameter_that_would_be_left_out_is_refused():
    with pytest.raises(RequestRejectedError, match="presence_penalty"):
        pool("litellm").invoke("bare", "hello", presence_penalty=1.5)


@REACHED
def test_a_stream_that_is_broken_off_frees_the_engine(transport):
    worker = chat_model().engine()._worker

    async def break_off():
        stream = pool(transport, max_tokens=400).astream("bare", "hello there")
        await anext(stream)
        (row,) = worker._running
        await stream.aclose()
        await asyncio.sleep(0.05)
        return row

    row = asyncio.run(break_off())
    until(lambda: not worker._running)
    assert len(row.tokens) < 300


@pytest.mark.parametrize("how", ["ainvoke", "astream"])
def test_a_card_of_a_served_model_carries_its_mask_there(how):
    with serving({"tiny": chat_model()}) as url:
        both = pool("litellm", model="openai/tiny", api_base=f"{url}/v1")
        assert answers(both, how, "bare", "hello there")[0] == said()
        assert answers(both, how, "masked", "hello there")[0] == said(mote_mask=OFF)


def test_a_policy_reads_which_mask_a_card_carries():
    bare, masked = pool("chat").describe().splitlines()
    assert "mask" not in bare
    assert "expert mask quiet" in masked


def test_the_mask_is_part_of_what_a_reply_is_cached_by():
    from langchain_core.caches import InMemoryCache

    cards = [
        ModelCard(name="a", model="mote/tiny", transport="chat", price="free", max_tokens=12, **mask)
        for mask in ({}, {"mask": "quiet"})
    ]
    cache, transports = InMemoryCache(), {"chat": chat_model()}
    replies = [
        ModelPool([card], transports=transports, cache=cache).invoke("a", "hello there").text for card in cards * 2
    ]
    assert replies == [said(), said(mote_mask=OFF)] * 2
