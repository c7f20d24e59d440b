"""The bill is right to the picodollar, and within the budget at every moment, under any schedule of calls."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk, message_chunk_to_message

from router_graph.accounts import Accounts
from router_graph.budget import Amount, Budget
from router_graph.errors import BudgetExceededError, LedgerError, ModelError, ModelServerError, RateLimitedError
from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool, Price, Transport, Usage
from support.model_server import ModelServer, Row
from support.watched_ledger import RESERVATION, KeyedTransport, check_bill, watched

WORD = "a" * 600 + " "
"""A token for the model, which we estimate at more."""
PRICE = Price(input=1, output=2, cached=0.3, reasoning=3.7)
QUESTION = "who can say how many words a day has"
QUIET = settings(deadline=None, derandomize=True, database=None)

amounts = st.none() | st.integers(1, 12)
"""Of worst cases, about, that fit into the budget."""


@st.composite
def budgets(draw):
    fits = {field: draw(amounts) for field in ("usd", "tokens", "calls", "seconds")}
    worst = {"usd": 2.5e-4, "tokens": 150, "calls": 1, "seconds": 0.3}
    limits = {field: None if n is None else n * worst[field] for field, n in fits.items()}
    kept = {f"answer_{f}": worst[f] for f in ("usd", "tokens", "calls") if fits[f] and draw(st.booleans())}
    return Budget(**limits, **kept)


class Scripted(Transport):
    """Models that behave by their name, step by step, and an exact meter of what they did."""

    def __init__(self) -> None:
        self.meter: list[Row] = []
        self.under_way: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()

    async def complete(self, request):
        pieces = [piece async for piece in self.stream(request)]
        return message_chunk_to_message(sum(pieces[1:], pieces[0]))

    async def stream(self, request):
        name = request.card.name
        row = Row(RESERVATION.get(), name)
        self.under_way[name] += 1
        self.peak[name] = max(self.peak[name], self.under_way[name])
        try:
            async for piece in self._say(request, row):
                yield piece
        finally:
            self.under_way[name] -= 1

    async def _say(self, request, row):
        await asyncio.sleep(0)
        self.meter.append(row)
        if row.model == "refuses":
            raise RateLimitedError("no")
        row.prompt = len(QUESTION.split()) + 3
        await asyncio.sleep(0)
        for n in range(request.max_tokens):
            row.completion += 1
            # Some providers tell the input first and the output last.
            first = Usage(row.prompt).as_metadata() if row.model == "parts" and n == 0 else None
            yield AIMessageChunk(WORD, usage_metadata=first)
            await asyncio.sleep(0)
            if row.model == "breaks" and n == 2:
                raise ModelServerError("broken", billed=True)
            if row.model == "crashes" and n == 2:
                raise ZeroDivisionError
        usage = Usage(0 if row.model == "parts" else row.prompt, row.completion).as_metadata()
        yield AIMessageChunk("", usage_metadata=None if row.model == "silent" else usage)


NAMES = ["good", "silent", "parts", "refuses", "breaks", "crashes"]
steps = st.integers(0, 25)
scripted_calls = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.lists(st.sampled_from(NAMES), max_size=2),
        st.sampled_from(["invoke", "stream", "leave", "drop"]),
        steps,
        st.none() | steps,
        st.sampled_from(["model", "answer"]),
        st.sampled_from([0.0, 5.0]),
    ),
    min_size=2,
    max_size=25,
)


async def use(pool, name, how, pieces, **options):
    """One call, used in one of the ways that people use calls."""
    if how == "invoke":
        return await pool.ainvoke(name, QUESTION, **options)
    stream = pool.astream(name, QUESTION, **options)
    if how == "drop":  # not closed: Python finds out
        async for _ in stream:
            if (pieces := pieces - 1) < 0:
                return None
        return None
    async with contextlib.aclosing(stream):
        async for _ in stream:
            if how == "leave" and (pieces := pieces - 1) < 0:
                return None
    return None


async def all_settled(ledger: Ledger) -> None:
    end = time.monotonic() + 3
    while ledger.reserved != Amount() and time.monotonic() < end:
        await asyncio.sleep(0.001)


@given(scripted_calls, budgets())
@settings(QUIET, max_examples=250)
def test_whatever_happens_to_calls_at_any_step_the_bill_is_the_meter(calls, budget):
    transport, broken = Scripted(), []
    cards = [
        ModelCard(name=n, transport="scripted", price=PRICE, max_tokens=6, concurrency=3, timeout_s=0.3) for n in NAMES
    ]
    pool = ModelPool(cards, transports={"scripted": transport}, retries=0, failures=10**6)
    ledger = watched(Ledger(budget), broken)

    async def one(name, fallbacks, how, pieces, cancel_at, purpose, wait_s):
        options = {"ledger": ledger, "purpose": purpose, "fallbacks": fallbacks, "wait_s": wait_s}
        task = asyncio.ensure_future(use(pool, name, how, pieces, **options))
        if cancel_at is not None:
            for _ in range(cancel_at):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()):
            assert isinstance(error, (ModelError, BudgetExceededError, ZeroDivisionError)), error

    async def everything():
        await asyncio.gather(*(one(*call) for call in calls))
        await all_settled(ledger)

    asyncio.run(everything())
    assert not broken
    check_bill(ledger, transport.meter, PRICE)
    assert max(transport.peak.values(), default=0) <= 3
    assert not +transport.under_way


MODELS = [
    "a-n7", "b-slow30-n5", "c-cached-n20", "d-reasoning-n12", "e-nousage-n9", "f-429", "g-500", "h-half-n8", "i-reset",
    "j-hang", "k-pace3-n25", "l-cached-reasoning-n20", "m-wrongjson", "n-cut-n9", "o-badusage-n5", "p-401",
]  # fmt: skip
served_calls = st.lists(
    st.tuples(
        st.sampled_from(MODELS),
        st.lists(st.sampled_from(MODELS), max_size=2),
        st.sampled_from(["invoke", "stream", "leave", "drop", "thread"]),
        st.integers(0, 12),
        st.none() | st.floats(0, 0.2),
        st.none() | st.floats(0, 0.3),
        st.sampled_from(["model", "answer"]),
        st.integers(0, 1),
    ),
    min_size=2,
    max_size=40,
)


@pytest.fixture(scope="module")
def server():
    with ModelServer() as server:
        yield server


def served_pool(server: ModelServer) -> ModelPool:
    how = {"transport": "keyed", "api_base": server.url, "price": PRICE, "max_tokens": 30}
    cards = [ModelCard(name=n, model=f"openai/{n}", **how, timeout_s=0.3, concurrency=6) for n in MODELS]
    return ModelPool(cards, transports={"keyed": KeyedTransport()}, failures=10**6)


async def call(pool, ledger, name, fallbacks, how, pieces, cancel_s, deadline_s, purpose, retries) -> None:
    options = {"ledger": ledger, "purpose": purpose, "fallbacks": fallbacks, "retries": retries, "wait_s": 1.0}
    options["deadline_s"] = deadline_s
    if how == "thread":
        work = asyncio.to_thread(pool.invoke, name, QUESTION, **options)
    else:
        work = use(pool, name, how, pieces, **options)
    task = asyncio.ensure_future(work)
    if cancel_s is not None and how != "thread":
        await asyncio.wait((task,), timeout=cancel_s)
        task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled() and (error := task.exception()):
        assert isinstance(error, (ModelError, BudgetExceededError, LedgerError)), repr(error)


@given(served_calls, budgets())
@settings(QUIET, max_examples=12)
def test_the_bill_is_what_a_provider_metered_and_never_above_the_budget(server, calls, budget):
    pool, broken, before = served_pool(server), [], len(server.meter)
    ledger = watched(Ledger(budget), broken)

    async def everything():
        await asyncio.gather(*(call(pool, ledger, *one) for one in calls))
        await all_settled(ledger)

    asyncio.run(everything())
    server.settle()
    assert not broken
    check_bill(ledger, server.meter[before:], PRICE)


@given(served_calls, served_calls, budgets(), st.floats(0, 0.15))
@settings(QUIET, max_examples=8)
def test_a_run_that_breaks_off_and_goes_on_has_one_right_bill(server, first, then, budget, pause_s):
    pool, broken, before = served_pool(server), [], len(server.meter)

    async def everything(folder):
        accounts = Accounts(folder, budget=budget)
        ledger = watched(accounts.open("run"), broken)
        under_way = [asyncio.ensure_future(call(pool, ledger, *one)) for one in first]
        await asyncio.sleep(pause_s)
        accounts.close()
        with Accounts(folder, budget=budget) as accounts:
            ledger = watched(accounts.open("run"), broken)
            await asyncio.gather(*(call(pool, ledger, *one) for one in then), *under_way)
            await all_settled(ledger)
            return ledger

    with tempfile.TemporaryDirectory() as folder:
        ledger = asyncio.run(everything(folder))
        with Accounts(folder, budget=budget) as accounts:
            assert accounts.open("run").entries == ledger.entries
    server.settle()
    assert not broken
    check_bill(ledger, server.meter[before:], PRICE)


def test_every_kind_of_booking_occurs(server):
    pool, chance, before = served_pool(server), random.Random(1), len(server.meter)
    ledger = watched(Ledger(), [])

    async def everything():
        ways = [("invoke", None), ("stream", None), ("leave", None), ("invoke", 0.02)]
        calls = [(name, [], how, 2, cancel_s, None, "model", 0) for name in MODELS for how, cancel_s in ways]
        chance.shuffle(calls)
        await asyncio.gather(*(call(pool, ledger, *one) for one in calls))

    asyncio.run(everything())
    server.settle()
    kinds = check_bill(ledger, server.meter[before:], PRICE)
    assert min(kinds["exact"], kinds["estimated"], kinds["refused"]) >= 4


def test_a_model_that_ignores_max_tokens_is_billed_what_it_said(server):
    card = ModelCard(
        name="x", model="openai/x-long", transport="keyed", api_base=server.url, price=PRICE, max_tokens=30
    )
    pool, ledger = ModelPool([card], transports={"keyed": KeyedTransport()}), watched(Ledger(), [])
    pool.invoke("x", QUESTION, ledger=ledger)
    list(pool.stream("x", QUESTION, ledger=ledger))
    assert [Usage(**e["usage"]).output for e in ledger.entries.values()] == [45, 45]
    check_bill(ledger, [row for row in server.meter if row.model == "x-long"], PRICE)


async def test_a_cancellation_stays_one_although_the_account_was_closed_meanwhile(server, tmp_path):
    pool, accounts = served_pool(server), Accounts(tmp_path)
    for how in ("invoke", "stream"):
        ledger = watched(accounts.open("run"), [])
        task = asyncio.ensure_future(use(pool, "k-pace3-n25" if how == "stream" else "j-hang", how, 0, ledger=ledger))
        await asyncio.sleep(0.05)
        accounts.close()
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
    assert {entry["state"] for entry in ledger.entries.values()} == {"settled"}


def test_64_calls_at_once_use_a_tight_budget_up_and_never_exceed_it(server):
    pool, broken = served_pool(server), []
    server.meter.clear()
    ledger = watched(Ledger(Budget(usd=0.0015)), broken)  # 64 calls would take 0.0017

    async def everything():
        calls = (pool.ainvoke("a-n7", QUESTION, ledger=ledger, max_tokens=7, wait_s=10) for _ in range(64))
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(everything())
    assert {type(one).__name__ for one in outcomes} == {"Reply", "BudgetExceededError"}
    assert not broken
    # The last calls are refused where their worst case no longer fits, so that one worst case may stay unused.
    assert ledger.spent.picousd >= 0.9 * 0.0015 * 10**12
    assert check_bill(ledger, server.meter, PRICE)["exact"] == sum(not isinstance(o, Exception) for o in outcomes)
