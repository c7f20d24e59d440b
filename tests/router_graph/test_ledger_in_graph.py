"""The ledger in real graphs: branches, retries, interrupts, forks, cancellation and restarts share one bill."""

from __future__ import annotations

import asyncio
import operator
import threading
import time
from typing import Annotated, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt

from router_graph.accounts import Accounts
from router_graph.budget import Amount, Budget
from router_graph.errors import BudgetExceededError, LedgerError
from router_graph.ledger import Entries, merge_entries, total

WORST, REAL = Amount(tokens=10, calls=1), Amount(tokens=6, calls=1)


class State(TypedDict, total=False):
    bill: Annotated[Entries, merge_entries]
    answers: Annotated[list[str], operator.add]


def thread(name="t"):
    return {"configurable": {"thread_id": name}}


@pytest.fixture(params=["memory", "sqlite"])
def saver(request, tmp_path):
    """The checkpointers of LangGraph; SQLite's where it is installed."""
    if request.param == "memory":
        yield InMemorySaver()
        return
    sqlite = pytest.importorskip("langgraph.checkpoint.sqlite", reason="langgraph-checkpoint-sqlite is not installed")
    with sqlite.SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.sqlite")) as saver:
        yield saver


@pytest.fixture(params=["in memory", "with a journal"])
def folder(request, tmp_path):
    return None if request.param == "in memory" else tmp_path / "accounts"


def asks(accounts, name="m", *, takes=0.0, wait_s=0.0):
    """A node that reserves, calls for a while, settles, and tells the state what the ledger knows."""

    def node(state: State) -> State:
        ledger = accounts.for_config(entries=state.get("bill"))
        try:
            key = ledger.reserve(WORST, purpose="model", name=name, wait_s=wait_s)
        except BudgetExceededError:
            return {"answers": [f"{name} was too dear"], "bill": ledger.entries}
        time.sleep(takes)
        ledger.settle(key, REAL)
        return {"answers": [name], "bill": ledger.entries}

    return node


def chain(saver, *nodes):
    graph = StateGraph(State)
    for name, node in nodes:
        graph.add_node(name, node, retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    for (before, _), (after, _) in zip([(START, None), *nodes], [*nodes, (END, None)], strict=True):
        graph.add_edge(before, after)
    return graph.compile(checkpointer=saver)


class Watcher:
    """Samples what is spent and reserved, as long as the block runs."""

    def __init__(self, ledger):
        self.ledger, self.most, self.samples, self._stop = ledger, 0, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._stop.wait(0.0005):
            entries = self.ledger.entries
            self.most = max(self.most, (total(entries, "spent") + total(entries, "reserved")).tokens)
            self.samples += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize("is_async", [False, True])
async def test_litellm_34732_branches_that_race_share_one_budget(folder, is_async):
    accounts = Accounts(folder, budget=Budget(tokens=200))

    def fan_out(state: State) -> list[Send]:
        return [Send("ask", {}) for _ in range(64)]

    async def ask_async(state: State) -> State:
        ledger = accounts.for_config()
        try:
            key = await ledger.areserve(WORST, purpose="model", name="m")
        except BudgetExceededError:
            return {"answers": ["too dear"]}
        await asyncio.sleep(0.02)
        ledger.settle(key, WORST)
        return {"answers": ["m"], "bill": {key: ledger.entries[key]}}

    def ask(state: State) -> State:
        ledger = accounts.for_config()
        try:
            key = ledger.reserve(WORST, purpose="model", name="m")
        except BudgetExceededError:
            return {"answers": ["too dear"]}
        time.sleep(0.02)
        ledger.settle(key, WORST)
        return {"answers": ["m"], "bill": ledger.entries}

    graph = StateGraph(State)
    graph.add_node("ask", ask_async if is_async else ask)
    graph.add_conditional_edges(START, fan_out, ["ask"])
    app = graph.compile(checkpointer=InMemorySaver())
    config = {**thread(), "max_concurrency": 64}
    ledger = accounts.for_config(config)
    with Watcher(ledger) as watcher:
        final = await app.ainvoke({}, config) if is_async else await asyncio.to_thread(app.invoke, {}, config)
    assert watcher.most <= 200 and watcher.samples > 3
    assert sorted(final["answers"]) == ["m"] * 20 + ["too dear"] * 44
    assert final["bill"] == ledger.entries
    assert (ledger.spent, ledger.reserved) == (Amount(tokens=200, calls=20), Amount())


def test_a_node_that_waits_gets_what_the_others_leave():
    accounts = Accounts(budget=Budget(tokens=40))

    def fan_out(state: State) -> list[Send]:
        return [Send("ask", {}) for _ in range(6)]

    graph = StateGraph(State)
    graph.add_node("ask", asks(accounts, takes=0.01, wait_s=5))
    graph.add_conditional_edges(START, fan_out, ["ask"])
    final = graph.compile().invoke({}, {**thread(), "max_concurrency": 6})
    assert final["answers"] == ["m"] * 6
    assert accounts.open("t").spent.tokens == total(final["bill"], "spent").tokens == 36


def test_an_interrupt_and_its_resume_book_each_call_once_and_keep_to_one_budget(saver, folder):
    accounts = Accounts(folder, budget=Budget(tokens=35))

    def person(state: State) -> State:
        ledger = accounts.for_config()
        # The node runs again from its start when it is resumed: what it asked before it stopped is paid twice.
        ledger.settle(ledger.reserve(WORST, purpose="policy", name="before the person"), REAL)
        return {"answers": [interrupt("May I?")]}

    app = chain(saver, ("first", asks(accounts, "first")), ("person", person), ("last", asks(accounts, "last")))
    assert "__interrupt__" in app.invoke({}, thread())
    assert accounts.open("t").spent.tokens == 12
    final = app.invoke(Command(resume="yes"), thread())
    assert final["answers"] == ["first", "yes", "last"]
    assert accounts.open("t").spent.tokens == total(final["bill"], "spent").tokens == 24
    with pytest.raises(BudgetExceededError):
        accounts.open("t").reserve(Amount(tokens=12), purpose="model", name="m")


@pytest.mark.parametrize("how", ["invoke from a checkpoint", "update_state"])
def test_a_fork_of_an_old_checkpoint_cannot_spend_the_budget_twice(saver, folder, how):
    accounts = Accounts(folder, budget=Budget(tokens=34))
    app = chain(saver, *((name, asks(accounts, name)) for name in "abc"))
    app.invoke({}, thread())
    assert accounts.open("t").spent.tokens == 18
    old = next(step for step in app.get_state_history(thread()) if step.next == ("b",))
    assert total(old.values["bill"], "spent").tokens == 6  # the fork knows of one call only
    fork = old.config if how != "update_state" else app.update_state(old.config, {"answers": ["edited"]}, as_node="a")
    final = app.invoke(None, fork)
    assert final["answers"][-2:] == ["b", "c"]
    assert accounts.open("t").spent.tokens == total(final["bill"], "spent").tokens == 30
    again = app.invoke(None, fork)
    assert again["answers"][-2:] == ["b was too dear", "c was too dear"]
    assert accounts.open("t").spent.tokens == total(again["bill"], "spent").tokens == 30


async def test_a_cancelled_stream_books_the_call_that_it_cut_off_at_its_worst_case(folder):
    accounts = Accounts(folder, budget=Budget(tokens=30))
    is_out = asyncio.Event()

    async def slow(state: State) -> State:
        ledger = accounts.for_config(entries=state.get("bill"))
        with ledger.reservation(WORST, purpose="model", name="slow"):
            is_out.set()
            await asyncio.sleep(30)
        raise AssertionError("it was not cancelled")

    app = chain(InMemorySaver(), ("a", asks(accounts, "a")), ("slow", slow))

    async def consume() -> None:
        async for _ in app.astream({}, thread()):
            pass

    running = asyncio.create_task(consume())
    await asyncio.wait_for(is_out.wait(), 10)
    ledger = accounts.open("t")
    assert (ledger.spent.tokens, ledger.reserved.tokens) == (6, 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (ledger.spent.tokens, ledger.reserved.tokens) == (16, 0)
    assert [row["error"] for row in ledger.bill()] == [None, "CancelledError"]
    if folder is not None:
        accounts.close()
        assert accounts.open("t").spent.tokens == 16
    resumed = chain(app.checkpointer, ("a", asks(accounts, "a")), ("slow", asks(accounts, "second try")))
    final = await resumed.ainvoke(None, thread())
    assert final["answers"] == ["a", "second try"]
    assert total(final["bill"], "spent").tokens == 22  # the cut call reaches the checkpoint with the next node


def test_a_sync_node_under_a_cancelled_stream_goes_on_in_its_thread_and_is_booked_as_it_was():
    accounts = Accounts()
    is_out, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(state: State) -> State:
        ledger = accounts.for_config()
        with ledger.reservation(WORST, purpose="model", name="slow") as key:
            is_out.set()
            may_end.wait(10)
            ledger.settle(key, REAL)
        ended.set()
        return {}

    async def cancelled() -> None:
        running = asyncio.create_task(chain(None, ("slow", slow)).ainvoke({}, thread()))
        while not is_out.is_set():
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert accounts.open("t").reserved == WORST
        may_end.set()

    asyncio.run(cancelled())
    assert ended.wait(10)
    assert (accounts.open("t").spent, accounts.open("t").reserved) == (REAL, Amount())


@pytest.mark.parametrize("is_async", [False, True])
async def test_every_attempt_of_a_node_that_is_retried_is_booked(folder, is_async):
    accounts = Accounts(folder, budget=Budget(tokens=30))
    attempts = []

    def attempt(state: State) -> State:
        ledger = accounts.for_config()
        with ledger.reservation(WORST, purpose="model", name="m") as key:
            attempts.append(key)
            if len(attempts) < 3:
                raise ConnectionError("cut off")
            ledger.settle(key, REAL)
        return {"answers": ["m"], "bill": ledger.entries}

    async def attempt_async(state: State) -> State:
        await asyncio.sleep(0)
        return attempt(state)

    app = chain(InMemorySaver(), ("m", attempt_async if is_async else attempt))
    final = await app.ainvoke({}, thread())
    assert [row["error"] for row in accounts.open("t").bill()] == ["ConnectionError", "ConnectionError", None]
    assert accounts.open("t").spent.tokens == total(final["bill"], "spent").tokens == 26


def test_fresh_accounts_that_have_only_the_checkpoint_go_on_where_the_old_ones_stopped(saver):
    def pause(state: State) -> State:
        return {"answers": [interrupt("?")]}

    def begun(state: State) -> State:
        """Reserves, and leaves what it reserved to a later node."""
        ledger = before.for_config()
        ledger.reserve(WORST, purpose="model", name="begun")
        return {"bill": ledger.entries}

    before = Accounts(budget=Budget(tokens=30))
    chain(saver, ("a", asks(before, "a")), ("begun", begun), ("pause", pause), ("b", asks(before, "b"))).invoke(
        {}, thread()
    )
    after = Accounts(budget=Budget(tokens=30))
    app = chain(saver, ("a", asks(after, "a")), ("begun", begun), ("pause", pause), ("b", asks(after, "b")))
    final = app.invoke(Command(resume="yes"), thread())
    assert final["answers"] == ["a", "yes", "b"]
    assert (after.open("t").spent.tokens, after.open("t").reserved.tokens) == (6 + 10 + 6, 0)
    assert final["bill"] == after.open("t").entries
    assert app.invoke({}, thread())["answers"][-1] == "a was too dear"


def test_checkpoints_that_come_back_any_number_of_times_in_any_order_count_nothing_twice(saver):
    accounts = Accounts()
    app = chain(saver, *((name, asks(accounts, name)) for name in "abc"))
    bill = app.invoke({}, thread())["bill"]
    steps = [step.values.get("bill") or {} for step in app.get_state_history(thread())]
    for order in (steps, steps[::-1], steps * 2):
        after = Accounts()
        for entries in order:
            after.open("t", entries=entries)
        assert after.open("t").entries == accounts.open("t").entries == bill
        assert after.open("t").spent.tokens == 18


def test_threads_have_accounts_of_their_own_and_subgraphs_do_not():
    accounts = Accounts(budget=Budget(tokens=20))
    inner = chain(None, ("inner", asks(accounts, "inner")))
    app = chain(InMemorySaver(), ("outer", asks(accounts, "outer")), ("sub", inner))
    for name in ("t1", "t2"):
        assert app.invoke({}, thread(name))["answers"][-1] == "inner"
        assert accounts.open(name).spent.tokens == 12


def test_a_graph_that_runs_without_a_thread_gets_a_sentence():
    with pytest.raises(LedgerError, match="names no thread"):
        chain(None, ("a", asks(Accounts()))).invoke({})
