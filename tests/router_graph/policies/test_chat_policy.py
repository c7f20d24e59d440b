"""A language model as the policy, against a provider that meters what it serves and fails on demand."""

from __future__ import annotations

import asyncio
import time

import pytest

from router_graph import errors
from router_graph.budget import Budget
from router_graph.ledger import Ledger
from router_graph.policies.chat import ChatPolicy
from router_graph.policies.policy import Means
from support.plain_protocol import PlainProtocol
from support.served_pool import PRICE, asked, pool_of
from support.views import view_of
from support.watched_ledger import KeyedTransport, check_bill, watched

KEYED = {"transports": {"litellm": KeyedTransport()}}
VIEW = view_of("kb:books", seed=7)


def act(policy, protocol=None, **means):
    """The reply, the tokens as they were told, and the ledger, whose limits held at all times."""
    heard, broken = [], []
    ledger = watched(means.pop("ledger", None) or Ledger(), broken)
    how = Means(ledger=ledger, on_token=heard.append, on_again=lambda: heard.append("again"), **means)
    try:
        return asyncio.run(policy.act(VIEW, protocol or PlainProtocol(), how)).reply, heard, ledger
    finally:
        assert not broken
        assert ledger.reserved.tokens == 0


@pytest.mark.parametrize("name", ["good", "good-cached-reasoning", "good-n1"])
def test_the_reply_is_heard_as_it_comes_and_its_bill_is_right_to_the_token(server, name):
    reply, heard, ledger = act(ChatPolicy(pool_of(server, name, **KEYED), name))
    assert reply.text == "".join(heard) != ""
    assert reply.response_metadata["card"] == name
    assert len(heard) > 2 or name == "good-n1"
    assert check_bill(ledger, server.meter, PRICE) == {"exact": 1}
    assert [entry["purpose"] for entry in ledger.entries.values()] == ["policy"]


@pytest.mark.parametrize("name", ["a-429", "a-500", "a-reset", "a-wrongjson", "a-401"])
def test_a_model_that_fails_before_its_first_word_is_replaced_by_its_fallback(server, name):
    pool = pool_of(server, name, "good", fallbacks={name: "good"}, retries=0, **KEYED)
    reply, heard, ledger = act(ChatPolicy(pool, name))
    assert reply.response_metadata["card"] == "good"
    assert asked(server) == [name, "good"]
    assert reply.text == "".join(heard)
    check_bill(ledger, server.meter, PRICE)


@pytest.mark.parametrize(("name", "served"), [("a-half", "good"), ("a-cut", "a-cut"), ("a-emptychoices", "good")])
def test_half_a_reply_is_void_and_the_whole_is_asked_for_with_its_fallbacks(server, name, served):
    pool = pool_of(server, name, "good", fallbacks={name: "good"}, retries=0, **KEYED)
    reply, heard, ledger = act(ChatPolicy(pool, name))
    assert reply.response_metadata["card"] == served
    assert heard[-1] == reply.text
    assert ("again" in heard) == (name in ("a-half", "a-cut"))
    assert len(reply.text.split()) == 16
    check_bill(ledger, server.meter, PRICE)


def test_a_call_that_brought_nothing_is_not_made_again(server):
    policy = ChatPolicy(pool_of(server, "a-500", retries=0, **KEYED), "a-500")
    with pytest.raises(errors.ModelError):
        act(policy)
    assert asked(server) == ["a-500"]


@pytest.mark.parametrize("streams", [True, False])
def test_a_model_that_hangs_is_given_up_at_the_deadline(server, streams):
    policy = ChatPolicy(pool_of(server, "a-hang", retries=0, **KEYED), "a-hang", streams=streams)
    started = time.monotonic()
    with pytest.raises(errors.ModelTimeoutError):
        act(policy, deadline_s=0.3)
    assert time.monotonic() - started < 1


def test_where_nothing_whole_can_be_had_the_error_says_so_and_what_it_took_is_booked(server):
    policy = ChatPolicy(pool_of(server, "a-half", retries=0, **KEYED), "a-half")
    with pytest.raises(errors.ModelError):
        act(policy)
    assert asked(server) == ["a-half"] * 2


def test_a_stream_that_breaks_off_is_not_asked_again_after_the_deadline(server):
    policy = ChatPolicy(pool_of(server, "a-half-pace60", retries=0, **KEYED), "a-half-pace60")
    started = time.monotonic()
    with pytest.raises(errors.ModelError):
        act(policy, deadline_s=0.3)
    assert time.monotonic() - started < 1
    assert len(server.meter) == 1


def test_without_streaming_the_reply_is_asked_for_whole(server):
    reply, heard, ledger = act(ChatPolicy(pool_of(server, "good", **KEYED), "good", streams=False))
    assert (heard, len(reply.text.split())) == ([], 16)
    assert "stream" not in server.seen[0].body
    assert check_bill(ledger, server.meter, PRICE) == {"exact": 1}


@pytest.mark.parametrize("streams", [True, False])
def test_a_model_that_may_not_see_what_was_found_is_not_asked_nor_such_a_fallback(server, streams):
    pool = pool_of(server, "a-500", "far", "near", fallbacks={"a-500": ["far", "near"]}, retries=0, **KEYED)
    policy = ChatPolicy(pool, "a-500", streams=streams)
    reply, _, _ = act(policy, allowed=lambda card: {"far": "what 'books' holds must not reach it"}.get(card.name))
    assert reply.response_metadata["card"] == "near"
    assert asked(server) == ["a-500", "near"]
    with pytest.raises(errors.RouterError, match="'a-500' was not asked, as what 'books' holds must not reach it"):
        act(policy, allowed=lambda model: "what 'books' holds must not reach it")
    assert len(server.meter) == 2


def test_an_answer_may_use_its_reserve_and_be_shorter_than_the_card_allows(server):
    pool = pool_of(server, "good", cards={"max_tokens": 400}, **KEYED)
    policy = ChatPolicy(pool, "good", enough_tokens=5)
    budget = Budget(tokens=250, answer_tokens=240)
    with pytest.raises(errors.BudgetExceededError):
        act(policy, ledger=Ledger(budget))
    assert not server.meter
    reply, _, ledger = act(policy, ledger=Ledger(budget), purpose="answer")
    assert reply.text
    assert 5 <= server.seen[0].body["max_tokens"] < 400
    assert [entry["purpose"] for entry in ledger.entries.values()] == ["answer"]


def test_what_the_protocol_and_the_settings_say_is_sent_and_a_seed_only_where_asked(server):
    pool = pool_of(server, "good-tool", **KEYED)
    protocol = PlainProtocol(stop=("</answer>",), with_tool=True)
    reply, _, _ = act(ChatPolicy(pool, "good-tool", temperature=0, seeded=True), protocol)
    act(ChatPolicy(pool, "good-tool"))
    first, second = (request.body for request in server.seen)
    assert (first["stop"], first["tools"][0]["function"]["name"]) == (["</answer>"], "answer")
    assert (first["temperature"], first["seed"]) == (0, 7)
    assert not {"stop", "tools", "seed", "temperature"} & second.keys()
    assert [call["name"] for call in reply.tool_calls] == ["answer"]


def test_a_model_that_takes_no_stop_texts_is_asked_without_from_then_on(server):
    pool = pool_of(server, "gpt-5-mini", **KEYED)
    policy = ChatPolicy(pool, "gpt-5-mini")
    for _ in range(2):
        reply, _, ledger = act(policy, PlainProtocol(stop=("</answer>",)))
        assert reply.text
    assert len(server.meter) == 2
    assert len(ledger.entries) == 1, "the second call knows"


def test_the_version_is_that_of_the_model_and_of_what_is_sent(server):
    pool = pool_of(server, "good", "other")
    policies = [ChatPolicy(pool, "good"), ChatPolicy(pool, "other"), ChatPolicy(pool, "good", temperature=1)]
    policies.append(ChatPolicy(pool, "good", seeded=True))
    assert len({policy.version for policy in policies}) == 4
    assert ChatPolicy(pool, "good", temperature=1).version == policies[2].version
    assert policies[0].version.startswith("openai/good")


def test_a_policy_that_cannot_be_made_says_why_in_a_sentence(server):
    pool = pool_of(server, "good")
    with pytest.raises(errors.UnknownModelError, match="did you mean 'good'"):
        ChatPolicy(pool, "god")
    with pytest.raises(errors.SettingsError, match="n cannot be a parameter"):
        ChatPolicy(pool, "good", n=3)


def test_a_policy_that_is_cancelled_hangs_up_and_books_the_worst_case(server):
    policy, ledger = ChatPolicy(pool_of(server, "good-pace50", **KEYED), "good-pace50"), watched(Ledger(), [])

    async def cancelled():
        heard = asyncio.Event()
        means = Means(ledger=ledger, on_token=lambda text: heard.set())
        task = asyncio.create_task(policy.act(VIEW, PlainProtocol(), means))
        await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    server.settle()
    assert check_bill(ledger, server.meter, PRICE) == {"estimated": 1}


def test_side_by_side_calls_share_a_policy(server):
    policy = ChatPolicy(pool_of(server, "good-slow20", cards={"concurrency": 50}, **KEYED), "good-slow20")
    ledgers = [watched(Ledger(), []) for _ in range(20)]

    async def all_of_them():
        means = [Means(ledger=ledger) for ledger in ledgers]
        return await asyncio.gather(*(policy.act(VIEW, PlainProtocol(), one) for one in means))

    assert len({one.reply.text for one in asyncio.run(all_of_them())}) == 1
    assert {len(ledger.entries) for ledger in ledgers} == {1}
