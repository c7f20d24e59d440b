"""The holes of LiteLLM's budgets, by the number of the issue or pull request: none of them is one of ours."""

from __future__ import annotations

import asyncio
import threading

import pytest

from router_graph.accounts import Accounts
from router_graph.budget import PICO, Amount, Budget
from router_graph.errors import BudgetExceededError, RouterError, UnknownPriceError
from router_graph.journal import Journal
from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool
from support.model_server import ModelServer


@pytest.fixture(scope="module")
def server():
    with ModelServer() as running:
        ModelPool([card(running, "warm")]).invoke("warm", "hello")
        yield running


def card(server: ModelServer, name: str, **fields: object) -> ModelCard:
    given = {"model": f"openai/{name}", "api_base": server.url, "price": {"input": 1, "output": 2}, "max_tokens": 20}
    return ModelCard(name=name, **{**given, **fields})


def worst_and_real(server: ModelServer, name: str) -> tuple[int, int]:
    """What one call reserves and what it takes, in picodollars."""
    ledger = Ledger()
    ModelPool([card(server, name)]).invoke(name, "hello", ledger=ledger)
    (entry,) = ledger.entries.values()
    return entry["reserved"]["picousd"], entry["spent"]["picousd"]


def billed(server: ModelServer, row: int) -> int:
    """What the server took from this request on, in picodollars."""
    server.settle()
    return sum((taken.prompt + 2 * taken.completion) * PICO // 10**6 for taken in server.meter[row:])


async def ask_all(pool: ModelPool, name: str, n: int, ledger: Ledger, **options: object) -> list[object]:
    calls = (pool.ainvoke(name, "hello", ledger=ledger, **options) for _ in range(n))
    return await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("fits", [1, 3])
async def test_34732_calls_side_by_side_cannot_pass_one_check_together(server, fits):
    """Reading the budget and recording what was spent are two steps, so that calls in between all get through."""
    name, row = "good-slow100", len(server.meter) + 1
    worst, _ = worst_and_real(server, name)
    ledger = Ledger(Budget(usd=worst * fits / PICO))
    pool = ModelPool([card(server, name, concurrency=20)], retries=0)
    ended = await ask_all(pool, name, 12, ledger, wait_s=0)
    assert sum(isinstance(end, BudgetExceededError) for end in ended) == 12 - fits
    assert len(server.meter) - row == fits
    assert billed(server, row) == ledger.spent.picousd <= worst * fits
    assert ledger.reserved == Amount()


def test_34732_nor_can_threads_of_one_session(server):
    """The same race between threads, each with a pool and an event loop of its own."""
    name, row = "good-slow100", len(server.meter) + 1
    worst, _ = worst_and_real(server, name)
    ledger = Ledger(Budget(usd=2 * worst / PICO))
    start = threading.Barrier(6)

    def session() -> None:
        start.wait(10)
        pool = ModelPool([card(server, name)], retries=0)
        asyncio.run(ask_all(pool, name, 2, ledger, wait_s=0))

    threads = [threading.Thread(target=session) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(server.meter) - row == 2
    assert billed(server, row) == ledger.spent.picousd <= 2 * worst


def test_35524_a_model_whose_price_is_unknown_does_not_skip_the_budget(server):
    """Where a cost cannot be estimated, nothing is reserved and the call goes out."""
    with pytest.raises(UnknownPriceError, match="price"):
        ModelPool([card(server, "good", price=None)])
    row = len(server.meter)
    pool = ModelPool([card(server, "good", price=None, ceiling={"input": 1000, "output": 2000})], retries=0)
    with pytest.raises(BudgetExceededError):
        pool.invoke("good", "hello", ledger=Ledger(Budget(usd=0.01)))
    assert len(server.meter) == row
    ledger = Ledger(Budget(usd=10))
    assert pool.invoke("good", "hello", ledger=ledger).estimated
    assert ledger.spent.picousd == 1000 * billed(server, row)


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_33923_a_reservation_that_cannot_be_written_down_refuses_the_call(server, how):
    """Where storage fails, the reservation is left out and the call goes out without one."""

    def disk_is_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    ledger, row = Ledger(Budget(usd=1), on_change=disk_is_full), len(server.meter)
    pool = ModelPool([card(server, "good"), card(server, "other")], fallbacks={"good": ["other"]})
    with pytest.raises((RouterError, OSError)):
        pool.invoke("good", "hello", ledger=ledger) if how == "invoke" else list(
            pool.stream("good", "hello", ledger=ledger)
        )
    assert len(server.meter) == row
    assert (ledger.entries, ledger.reserved, ledger.spent) == ({}, Amount(), Amount())


def test_33923_a_settlement_that_cannot_be_written_down_leaves_the_worst_case_reserved(server):
    """The same, when the disk fills up during the call: what was reserved may not be spent again."""
    written: list[str] = []

    def disk_fills_up(key: str, entry: dict) -> None:
        if entry["state"] != "reserved":
            raise OSError(28, "No space left on device")
        written.append(key)

    worst, _ = worst_and_real(server, "good")
    ledger = Ledger(Budget(usd=1.5 * worst / PICO), on_change=disk_fills_up)
    pool = ModelPool([card(server, "good", concurrency=1)], retries=0)
    with pytest.raises((RouterError, OSError)):
        pool.invoke("good", "hello", ledger=ledger)
    row = len(server.meter)
    with pytest.raises(BudgetExceededError):
        pool.invoke("good", "hello", ledger=ledger, wait_s=0)
    assert (len(server.meter), ledger.reserved.picousd, len(written)) == (row, worst, 1)


def test_33923_a_journal_that_another_process_holds_refuses_the_call(server, tmp_path):
    """The same with our own journal."""
    first = Journal(tmp_path / "bill")
    first.acquire()
    second, row = Journal(tmp_path / "bill"), len(server.meter)
    with pytest.raises(RouterError):
        ModelPool([card(server, "good")]).invoke("good", "hello", ledger=Ledger(on_change=second.append))
    assert len(server.meter) == row
    first.close()


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_40095_the_first_call_of_a_budget_is_held_to_it(server, how):
    """Before anything is spent there is no counter to check, so that the first call may cost what it likes."""
    worst, _ = worst_and_real(server, "good")
    row = len(server.meter)
    pool = ModelPool([card(server, "good")], retries=0)
    for ledger in (Ledger(Budget(usd=(worst - 1) / PICO)), Ledger(Budget(tokens=3))):
        with pytest.raises(BudgetExceededError):
            pool.invoke("good", "hello", ledger=ledger) if how == "invoke" else list(
                pool.stream("good", "hello", ledger=ledger)
            )
    assert len(server.meter) == row
    pool.invoke("good", "hello", ledger=Ledger(Budget(usd=worst / PICO)))
    assert len(server.meter) == row + 1


async def test_38647_calls_that_do_not_fit_beside_others_wait_and_are_not_refused(server):
    """Worst cases of calls under way fill the budget up, and the rest is refused though next to nothing is spent."""
    name = "good-n2-slow20"
    worst, real = worst_and_real(server, name)
    n = 10
    assert worst > 2 * real
    ledger = Ledger(Budget(usd=(worst + (n - 1) * real) / PICO))  # room for one worst case beside what the rest takes
    ended = await ask_all(ModelPool([card(server, name)], retries=0), name, n, ledger)
    assert [end for end in ended if isinstance(end, BaseException)] == []
    assert ledger.spent.picousd == n * real
    with pytest.raises(BudgetExceededError):
        await ModelPool([card(server, name)]).ainvoke(name, "hello", ledger=ledger)


async def test_26845_a_call_that_needs_more_than_is_left_is_refused_and_not_clipped(server):
    """A reservation larger than what is left was cut to what is left, and the call sent."""
    worst, real = worst_and_real(server, "good")
    ledger, row = Ledger(Budget(usd=(worst + real) / PICO - 1e-12)), len(server.meter)
    pool = ModelPool([card(server, "good")], retries=0)
    await pool.ainvoke("good", "hello", ledger=ledger)
    left = ledger.left()["picousd"]
    assert real < left < worst
    with pytest.raises(BudgetExceededError):
        await pool.ainvoke("good", "hello", ledger=ledger)
    assert (len(server.meter) - row, ledger.left()["picousd"], ledger.reserved) == (1, left, Amount())
    assert (await pool.ainvoke("good", "hello", ledger=ledger, max_tokens=16)).text  # a call that fits goes out


def test_a_budget_outlives_the_process_that_spent_it(server, tmp_path):
    """A proxy that starts anew takes what it had reserved for free."""
    worst, _ = worst_and_real(server, "good")
    budget = Budget(usd=1.5 * worst / PICO)
    before = Accounts(tmp_path, budget=budget)
    before.open("t").reserve(Amount(picousd=worst), purpose="model", name="good")  # and then it dies
    before.close()
    row = len(server.meter)
    with pytest.raises(BudgetExceededError):
        ModelPool([card(server, "good")]).invoke("good", "hello", ledger=Accounts(tmp_path, budget=budget).open("t"))
    assert len(server.meter) == row
