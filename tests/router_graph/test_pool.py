"""The pool against a provider on loopback: fallbacks, queues, deadlines, the cache, and changes under traffic."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter

import pytest
from langchain_core.messages import HumanMessage

from router_graph.budget import Amount, Budget
from router_graph.errors import (
    AllModelsFailedError,
    BudgetExceededError,
    CardError,
    ModelConnectionError,
    ModelRestingError,
    ModelServerError,
    ModelTimeoutError,
    RequestRejectedError,
    RouterError,
    UnknownModelError,
)
from router_graph.ledger import Ledger
from router_graph.pool import ModelPool, Price, tokens
from support.served_pool import WAYS, answers, asked, card, pool_of


@WAYS
def test_fallbacks_are_asked_in_order_and_the_one_that_served_is_named(server, how):
    pool = pool_of(server, "a-500", "b-429", "c", fallbacks={"a-500": ["b-429", "c"]})
    ledger = Ledger()
    text, served = answers(pool, how, "a-500", "hello", ledger=ledger)
    assert text
    assert served == "c"
    assert asked(server) == ["a-500", "b-429", "c"]
    assert [(entry["name"], entry["error"]) for entry in ledger.entries.values()] == [
        ("a-500", "ModelServerError"),
        ("b-429", "RateLimitedError"),
        ("c", None),
    ]


@WAYS
def test_a_request_that_is_wrong_is_not_tried_elsewhere(server, how):
    pool = pool_of(server, "a-400", "c", fallbacks={"a-400": ["c"]})
    with pytest.raises(RequestRejectedError):
        answers(pool, how, "a-400", "hello")
    assert asked(server) == ["a-400"]


@pytest.mark.parametrize("how", ["stream", "astream"])
def test_half_an_answer_is_not_continued_by_another_model(server, how):
    pool = pool_of(server, "a-half", "c", fallbacks={"a-half": ["c"]})
    with pytest.raises(ModelConnectionError):
        answers(pool, how, "a-half", "hello")
    assert asked(server) == ["a-half"]


def test_a_call_falls_back_where_the_budget_is_too_small_for_its_model(server):
    dear = card(server, "dear", price=Price(input=100, output=100))
    pool = ModelPool([dear, card(server, "c")], fallbacks={"dear": ["c"]})
    assert pool.invoke("dear", "hello", ledger=Ledger(Budget(usd=0.001))).model == "c"
    assert asked(server) == ["c"]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_requests_are_repeated_as_often_as_allowed_and_no_more(server, retries):
    pool = pool_of(server, "a-500", "b-503", failures=100)
    with pytest.raises(AllModelsFailedError) as raised:
        pool.invoke("a-500", "hello", fallbacks=["b-503"], retries=retries)
    assert asked(server) == ["a-500", "b-503"] * (1 + retries)
    assert len(raised.value.failures) == 2 * (1 + retries)


def test_a_provider_that_asks_to_wait_is_not_asked_before(server):
    pool = pool_of(server, "a-429-after2", "c")
    started = time.monotonic()
    with pytest.raises(RouterError) as raised:
        pool.invoke("a-429-after2", "hello", retries=1)
    assert 2.0 <= time.monotonic() - started < 4
    assert raised.value.retry_after_s == 2
    assert asked(server) == ["a-429-after2"] * 2
    reply = pool.invoke("a-429-after2", "hello", fallbacks=["c"])
    assert (reply.model, type(reply.failures[0][1])) == ("c", ModelRestingError)
    assert asked(server) == ["a-429-after2"] * 2 + ["c"]


def test_a_model_that_keeps_failing_rests_then_one_call_tries_it_and_it_is_back(server):
    pool = pool_of(server, "r-flaky4", retries=0, failures=3, rest_s=0.2)
    for _ in range(3):
        with pytest.raises(ModelServerError):
            pool.invoke("r-flaky4", "hello")
    with pytest.raises(ModelRestingError):
        pool.invoke("r-flaky4", "hello")
    assert len(server.meter) == 3
    time.sleep(0.2)
    with pytest.raises(ModelServerError):
        pool.invoke("r-flaky4", "hello")
    with pytest.raises(ModelRestingError):
        pool.invoke("r-flaky4", "hello")
    assert len(server.meter) == 4
    time.sleep(0.2)
    assert pool.invoke("r-flaky4", "hello").text
    assert pool.invoke("r-flaky4", "hello").text


def test_no_more_calls_run_side_by_side_than_the_card_says_even_from_several_loops_and_threads(server):
    pool = pool_of(server, "a-slow20-n3", "b-slow20-n3", cards={"concurrency": 3})

    async def many():
        for name in ("a-slow20-n3", "b-slow20-n3"):
            await asyncio.gather(*(pool.ainvoke(name, "hello") for _ in range(6)))

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(3)]
    threads += [threading.Thread(target=pool.invoke, args=("a-slow20-n3", "hello")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert Counter(asked(server)) == {"a-slow20-n3": 24, "b-slow20-n3": 18}
    assert server.peak == {"a-slow20-n3": 3, "b-slow20-n3": 3}


async def test_calls_are_served_in_the_order_in_which_they_came(server):
    pool = pool_of(server, "a-slow5-n3", cards={"concurrency": 1})
    await asyncio.gather(*(pool.ainvoke("a-slow5-n3", f"question {number}") for number in range(12)))
    questions = [seen.body["messages"][0]["content"] for seen in server.seen]
    assert questions == [f"question {number}" for number in range(12)]


@pytest.mark.parametrize(
    ("names", "cards"),
    [
        (["a-hang", "b-hang", "c"], {}),
        (["a-429", "b-500"], {}),
        (["a-slow200-n2"], {"concurrency": 1}),
        (["a-drip"], {}),
    ],
    ids=["fallbacks", "repetitions", "the queue", "a reply that drips"],
)
@WAYS
def test_the_deadline_holds_over(server, names, cards, how):
    pool = pool_of(server, *names, cards=cards, failures=100)
    ledger = Ledger()
    queue = [threading.Thread(target=pool.invoke, args=(names[0], "first")) for _ in range(4 * bool(cards))]
    for thread in queue:
        thread.start()
    if queue:
        time.sleep(0.05)
    started = time.monotonic()
    with pytest.raises(RouterError):
        answers(pool, how, names[0], "hello", ledger=ledger, fallbacks=names[1:], retries=50, deadline_s=0.3)
    assert time.monotonic() - started < 0.6
    for thread in queue:
        thread.join()
    server.settle()
    mine = [seen for seen in server.seen if seen.body["messages"][0]["content"] == "hello"]
    spent = [entry for entry in ledger.entries.values() if entry["state"] == "settled"]
    # The one call that the deadline cuts off may not have come to the provider yet.
    assert 0 <= len(spent) - len(mine) <= 1, "what was never asked must cost nothing"
    assert ledger.reserved == Amount()


@WAYS
def test_what_comes_after_its_deadline_is_not_asked_at_all(server, how):
    pool, ledger = pool_of(server, "a", "b"), Ledger()
    with pytest.raises(ModelTimeoutError):
        answers(pool, how, "a", "hello", ledger=ledger, fallbacks=["b"], deadline_s=0)
    assert ledger.spent == ledger.reserved == Amount()
    assert not server.meter


def test_a_call_waits_for_the_budget_where_others_only_hold_it(server):
    pool, ledger = pool_of(server, "a-slow100-n2"), Ledger(Budget(tokens=150))

    async def both():
        return await asyncio.gather(*(pool.ainvoke("a-slow100-n2", "hello", ledger=ledger) for _ in range(3)))

    assert len(asyncio.run(both())) == 3
    assert server.peak == {"a-slow100-n2": 1}
    with pytest.raises(BudgetExceededError):
        pool.invoke("a-slow100-n2", "hello " * 200, ledger=ledger)
    assert len(server.meter) == 3


def test_models_come_go_and_change_price_under_traffic(server):
    pool, ledger, over = pool_of(server, "a-n2", "b-n2"), Ledger(), threading.Event()

    def change():
        number = 0
        while not over.is_set():
            number += 1
            pool.add(card(server, f"new{number}"))
            pool.reprice("a-n2", Price(input=number, output=number))
            assert f"new{number}" in pool.describe()
            pool.remove(f"new{number}")
            time.sleep(0.001)

    thread = threading.Thread(target=change)
    thread.start()

    async def many():
        await asyncio.gather(*(pool.ainvoke(name, "hi", ledger=ledger) for name in ("a-n2", "b-n2") for _ in range(60)))

    asyncio.run(many())
    over.set()
    thread.join()
    assert len(server.meter) == len(ledger.entries) == 120
    assert ledger.reserved == Amount()
    prices = {e["spent"]["picousd"] for e in ledger.entries.values() if e["name"] == "a-n2"}
    assert len(prices) > 1


def test_a_new_price_holds_from_the_next_call_on(server):
    pool, ledger = pool_of(server, "a-slow100-n2"), Ledger()
    thread = threading.Thread(target=pool.invoke, args=("a-slow100-n2", "hi"), kwargs={"ledger": ledger})
    thread.start()
    time.sleep(0.05)
    pool.reprice("a-slow100-n2", Price(input=10, output=20))
    thread.join()
    pool.invoke("a-slow100-n2", "hi", ledger=ledger)
    assert [e["spent"]["picousd"] for e in ledger.entries.values()] == [8_000_000, 80_000_000]  # 4 in, 2 out


def test_a_model_that_is_gone_is_unknown_and_in_no_fallbacks(server):
    pool = pool_of(server, "a-500", "b", "c", fallbacks={"a-500": ["b", "c"]})
    pool.remove("b")
    assert pool.invoke("a-500", "hello").model == "c"
    with pytest.raises(UnknownModelError, match="'b'"):
        pool.invoke("b", "hello")
    with pytest.raises(UnknownModelError, match="'a-500'"):
        pool.invoke("a-501", "hello")
    with pytest.raises(CardError, match="Two cards"):
        pool.add(card(server, "c"))


def test_the_description_has_the_numbers_that_hold_now(server):
    pool = pool_of(server, "a-slow50-n2")
    assert "$1.00 in / $2.00 out per million tokens" in pool.describe()
    assert "lately" not in pool.describe()
    pool.invoke("a-slow50-n2", "hi")
    assert "$0.0000080 a call lately, 0.0" in pool.describe()
    pool.reprice("a-slow50-n2", Price(input=3, output=4))
    assert "$3.00 in / $4.00 out" in pool.describe()


def test_a_model_timeout_is_not_a_deadline(server):
    pool = pool_of(server, "a-hang", "c", cards={"timeout_s": 0.2}, fallbacks={"a-hang": ["c"]})
    reply = pool.invoke("a-hang", "hello", deadline_s=5)
    assert (reply.model, type(reply.failures[0][1])) == ("c", ModelTimeoutError)


@WAYS
def test_a_reply_is_shortened_to_what_the_budget_pays_for_where_that_is_enough(server, how):
    pool = pool_of(server, "a-n42")
    worst = pool.card("a-n42").payable.worst_case
    most_in = tokens.most([HumanMessage("hello")], {}, image_tokens=0)
    budget = Budget(usd=worst(most_in, 20) / 10**12)
    with pytest.raises(BudgetExceededError):
        answers(pool, how, "a-n42", "hello", ledger=Ledger(budget), max_tokens=50)
    with pytest.raises(BudgetExceededError):
        answers(pool, how, "a-n42", "hello", ledger=Ledger(budget), max_tokens=50, enough_tokens=21)
    assert not server.seen
    text, _ = answers(pool, how, "a-n42", "hello", ledger=(ledger := Ledger(budget)), max_tokens=50, enough_tokens=5)
    assert len(text.split()) == 20 == server.seen[-1].body["max_tokens"]
    assert ledger.spent.picousd <= worst(most_in, 20)


def test_a_reply_is_not_shortened_while_others_may_leave_enough_for_the_whole(server):
    pool = pool_of(server, "a-slow200-n2")
    most_in = tokens.most([HumanMessage("hello")], {}, image_tokens=0)
    budget = Budget(tokens=2 * (most_in + 50))

    async def three():
        ledger = Ledger(budget)
        options = {"ledger": ledger, "max_tokens": 50, "enough_tokens": 5}
        return await asyncio.gather(*(pool.ainvoke("a-slow200-n2", "hello", **options) for _ in range(3)))

    assert len(asyncio.run(three())) == 3
    assert [seen.body["max_tokens"] for seen in server.seen] == [50, 50, 50]


def test_a_model_that_leaves_the_pool_still_serves_the_calls_that_have_it_in_their_chain(server):
    pool = pool_of(server, "a-500-slow200", "c", fallbacks={"a-500-slow200": ["c"]})

    async def leave_meanwhile():
        calling = asyncio.create_task(pool.ainvoke("a-500-slow200", "hello"))
        while not server.seen:  # until the first model is asked
            await asyncio.sleep(0.01)
        pool.remove("c")
        return (await calling).model

    assert asyncio.run(leave_meanwhile()) == "c"
    with pytest.raises(UnknownModelError):
        pool.card("c")


def test_models_that_are_added_from_many_threads_are_all_there(server):
    pool = ModelPool()

    def add(who):
        for i in range(50):
            pool.add(card(server, f"m{who}-{i}"))

    threads = [threading.Thread(target=add, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pool.cards) == 400


@pytest.mark.parametrize("given", [{"deadline_s": float("nan")}, {"deadline_s": "5"}, {"wait_s": -1}, {"retries": -1}])
def test_a_limit_that_is_none_is_refused(server, given):
    with pytest.raises(RequestRejectedError, match=next(iter(given))):
        pool_of(server, "a").invoke("a", "hello", **given)
