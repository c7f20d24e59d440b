"""The ledger's invariants, after every event of random schedules."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from router_graph.budget import Amount, Budget
from router_graph.errors import BudgetError, BudgetExceededError, LedgerError
from router_graph.ledger import Ledger, merge_entries, total

AMOUNTS = st.builds(Amount, *[st.integers(0, 50)] * 4)


class Schedules(RuleBasedStateMachine):
    """Calls that open, settle, fail, are forgotten, and copies of the ledger that come back later."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(
            Budget(usd=100e-12, tokens=120, calls=150, seconds=0.2, answer_usd=20e-12, answer_tokens=15)
        )
        self.metered = Amount()
        self.copies: list[dict] = []

    open_calls = Bundle("open_calls")

    @rule(target=open_calls, amount=AMOUNTS, purpose=st.sampled_from(["model", "policy", "judge", "answer"]))
    def reserve(self, amount, purpose):
        try:
            return self.ledger.reserve(amount, purpose=purpose, name="m"), amount
        except BudgetExceededError:
            return multiple()

    @rule(call=consumes(open_calls), share=st.floats(0, 1), failed=st.booleans())
    def settle(self, call, share, failed):
        key, amount = call
        spent = Amount(*(int(share * v) for v in amount.as_dict().values()))
        self.ledger.settle(key, spent, error="500" if failed else None)
        self.metered += spent

    @rule(call=consumes(open_calls))
    def release(self, call):
        self.ledger.release(call[0])

    @rule()
    def checkpoint(self):
        self.copies.append(json.loads(json.dumps(self.ledger.entries)))

    @rule(data=st.data())
    def a_fork_or_a_resume_brings_an_old_copy_back(self, data):
        if self.copies:
            self.ledger.absorb(data.draw(st.sampled_from(self.copies)))

    @invariant()
    def nothing_is_overspent(self):
        held = self.ledger.spent + self.ledger.reserved
        for field, limit in self.ledger.budget.limits(for_answer=True).items():
            assert limit is None or getattr(held, field) <= limit

    @invariant()
    def the_answers_reserve_is_kept(self):
        others = {k: e for k, e in self.ledger.entries.items() if e["purpose"] != "answer"}
        held = total(others, "spent") + total(others, "reserved")
        for field, limit in self.ledger.budget.limits(for_answer=False).items():
            assert limit is None or getattr(held, field) <= limit

    @invariant()
    def the_bill_is_what_was_metered(self):
        assert self.ledger.spent == self.metered == total(self.ledger.entries, "spent")
        assert self.ledger.reserved == total(self.ledger.entries, "reserved")


TestSchedules = Schedules.TestCase
TestSchedules.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

ENTRIES = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(
        lambda state, spent: {
            "state": state, "purpose": "model", "name": "m", "reserved": Amount(9).as_dict(),
            "spent": Amount(spent).as_dict(), "estimated": False, "error": None, "at": 0.0,
        },
        st.sampled_from(["reserved", "settled", "released"]), st.integers(0, 3),
    ),
)  # fmt: skip


@given(ENTRIES, ENTRIES, ENTRIES)
def test_merging_is_associative_commutative_and_idempotent(a, b, c):
    assert merge_entries(a, b) == merge_entries(b, a)
    assert merge_entries(a, merge_entries(b, c)) == merge_entries(merge_entries(a, b), c)
    assert merge_entries(a, a) == a == merge_entries(a, None)


def test_the_answer_can_be_paid_when_all_else_is_spent():
    ledger = Ledger(Budget(usd=1.0, answer_usd=0.2))
    ledger.settle(ledger.reserve(Amount.of(usd=0.8), purpose="model", name="m"), Amount.of(usd=0.8))
    with pytest.raises(BudgetExceededError, match=r"what is left is 0 USD \(0.2 USD more for purpose='answer'\)"):
        ledger.reserve(Amount.of(usd=0.1), purpose="policy", name="m")
    assert ledger.reserve(Amount.of(usd=0.2), purpose="answer", name="m")


async def test_a_pessimistic_reservation_waits_for_a_settlement_instead_of_refusing():
    ledger = Ledger(Budget(usd=1.0))
    first = ledger.reserve(Amount.of(usd=0.9), purpose="model", name="first")
    second = asyncio.create_task(ledger.areserve(Amount.of(usd=0.9), purpose="model", name="second", wait_s=5))
    await asyncio.sleep(0.05)
    assert not second.done()
    ledger.settle(first, Amount.of(usd=0.01))
    ledger.settle(await asyncio.wait_for(second, 1), Amount.of(usd=0.02))
    assert ledger.spent.usd == pytest.approx(0.03)


async def test_what_can_never_fit_is_refused_at_once():
    ledger = Ledger(Budget(usd=1.0))
    ledger.settle(ledger.reserve(Amount.of(usd=0.5), purpose="model", name="m"), Amount.of(usd=0.5))
    begun = time.monotonic()
    with pytest.raises(BudgetExceededError):
        await ledger.areserve(Amount.of(usd=0.6), purpose="model", name="m", wait_s=30)
    assert time.monotonic() - begun < 1


async def test_a_cancelled_wait_leaves_nothing_behind():
    ledger = Ledger(Budget(calls=1))
    key = ledger.reserve(Amount(calls=1), purpose="model", name="m")
    waiting = asyncio.create_task(ledger.areserve(Amount(calls=1), purpose="model", name="m", wait_s=30))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    ledger.release(key)
    assert (ledger.reserved, ledger.spent) == (Amount(), Amount())


def test_threads_never_overspend_and_use_most_of_the_budget():
    ledger = Ledger(Budget(calls=50))
    outcomes: Counter[bool] = Counter()

    def work() -> None:
        for _ in range(4):
            try:
                key = ledger.reserve(Amount(calls=1), purpose="model", name="m", wait_s=2)
            except BudgetExceededError:
                outcomes[False] += 1
            else:
                ledger.settle(key, Amount(calls=1))
                outcomes[True] += 1

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {True: 50, False: 14}


def test_a_block_that_breaks_off_books_its_worst_case():
    ledger = Ledger(Budget(usd=1.0))
    with pytest.raises(KeyboardInterrupt), ledger.reservation(Amount.of(usd=0.3), purpose="model", name="m"):
        raise KeyboardInterrupt
    (entry,) = ledger.entries.values()
    assert (entry["state"], entry["estimated"], entry["error"]) == ("settled", True, "KeyboardInterrupt")
    assert ledger.spent == Amount.of(usd=0.3)


def test_a_journal_makes_a_crash_between_reserve_and_settle_cost_its_worst_case():
    journal: list[tuple[str, dict]] = []
    before = Ledger(Budget(usd=1.0), on_change=lambda key, entry: journal.append((key, dict(entry))))
    before.settle(before.reserve(Amount.of(usd=0.2), purpose="model", name="m"), Amount.of(usd=0.1))
    before.reserve(Amount.of(usd=0.4), purpose="model", name="m")  # … and here the process dies
    after = Ledger(Budget(usd=1.0))
    for key, entry in journal:
        after.absorb({key: entry})
    assert after.settle_dangling() == 1
    assert after.spent == Amount.of(usd=0.5)
    assert after.settle_dangling() == 0


def test_a_call_is_booked_once():
    ledger = Ledger()
    key = ledger.reserve(Amount(calls=1), purpose="model", name="m")
    ledger.settle(key, Amount(calls=1))
    with pytest.raises(LedgerError, match="is settled; only an open one"):
        ledger.settle(key, Amount(calls=1))
    with pytest.raises(LedgerError, match="is unknown"):
        ledger.release("nonsense")
    with pytest.raises(LedgerError, match="negative"):
        ledger.reserve(Amount(calls=-1), purpose="model", name="m")
    with pytest.raises(LedgerError, match="in the ledger already"):
        ledger.reserve(Amount(calls=1), purpose="model", name="m", key=key)


@pytest.mark.parametrize(
    ("budget", "sentence"),
    [
        ({"usd": 0}, "usd is 0; it must be greater than 0."),
        ({"usd": -1}, "usd is -1; it must be greater than 0."),
        ({"usd": float("inf")}, "usd is inf; it must be a finite number."),
        ({"calls": 0}, "calls is 0; it must be greater than 0."),
        ({"seconds": -0.5}, "seconds is -0.5; it must be greater than 0."),
        ({"answer_usd": -1}, "answer_usd is -1; it must be greater than or equal to 0."),
        ({"usd": 1, "answer_usd": 2}, "answer_usd is 2, more than usd (1) holds."),
        ({"usds": 1}, "'usds' is no known key; did you mean 'usd'?"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused_in_one_sentence(budget, sentence):
    with pytest.raises(BudgetError) as caught:
        Budget(**budget)
    assert str(caught.value) == f"This budget cannot be kept: {sentence}"


def test_sums_are_exact():
    ledger = Ledger()
    for _ in range(1_000):
        ledger.settle(ledger.reserve(Amount.of(usd=0.1), purpose="model", name="m"), Amount.of(usd=0.1))
    assert ledger.spent.usd == 100.0


async def test_a_cancellation_that_comes_with_the_wake_up_is_not_lost():
    ledger = Ledger(Budget(calls=1))
    held = ledger.reserve(Amount(calls=1), purpose="model", name="m")
    waiting = asyncio.create_task(ledger.areserve(Amount(calls=1), purpose="model", name="m", wait_s=5))
    await asyncio.sleep(0.01)
    ledger.release(held)
    await asyncio.sleep(0)  # the wake-up is on its way
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ledger.reserved == Amount()
