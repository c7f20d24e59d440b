"""One account has one budget: whoever opens it, however often, and whatever dies in between."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_graph.accounts import Accounts
from router_graph.budget import Amount, Budget
from router_graph.errors import BudgetExceededError, LedgerError
from router_graph.journal import Journal
from router_graph.ledger import merge_entries, total

CALL = {"purpose": "model", "name": "m"}

SPENDER = """
import os, signal, sys, threading
from router_graph.accounts import Accounts
from router_graph.budget import Amount, Budget
from router_graph.errors import BudgetExceededError

folder, meter, window = sys.argv[1:4]
ledger = Accounts(folder, budget=Budget(tokens=2000)).open("run")
sent = os.open(meter, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def die(here):
    if here == window:
        os.kill(os.getpid(), signal.SIGKILL)

def call(number):
    key = ledger.reserve(Amount(tokens=10, calls=1), purpose="model", name="m")
    die("reserved")
    tokens = 1 + number % 10
    os.write(sent, b"%d\\n" % tokens)  # from here on the provider bills it
    die("sent")
    ledger.settle(key, Amount(tokens=tokens, calls=1))
    die("settled")

def work():
    for number in range(100_000):
        try:
            call(number)
        except BudgetExceededError:
            return

if window != "any":
    call(6)
threads = [threading.Thread(target=work) for _ in range(4)]
print("begins", flush=True)
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def spender(tmp_path, window):
    return subprocess.Popen(
        [sys.executable, "-c", SPENDER, tmp_path / "accounts", tmp_path / "meter", window], stdout=subprocess.PIPE
    )


@pytest.mark.parametrize(("window", "billed", "booked"), [("reserved", 0, 10), ("sent", 7, 10), ("settled", 7, 7)])
def test_a_process_killed_between_reserve_send_and_settle_is_booked_at_its_worst_case_at_most(
    tmp_path, window, billed, booked
):
    with spender(tmp_path, window) as process:
        assert process.wait(20) == -signal.SIGKILL
    assert sum(map(int, (tmp_path / "meter").read_text().split())) == billed
    with Accounts(tmp_path / "accounts", budget=Budget(tokens=25)) as accounts:
        ledger = accounts.open("run")
        assert (ledger.spent.tokens, ledger.reserved) == (booked, Amount())
        (row,) = ledger.bill()
        assert (row["estimated"], row["error"]) == ((False, None) if window == "settled" else (True, "interrupted"))
        with pytest.raises(BudgetExceededError):
            ledger.reserve(Amount(tokens=26 - booked), **CALL)


def test_processes_killed_at_any_moment_lose_nothing_and_never_pass_the_budget(tmp_path):
    chance = random.Random(4)
    for _ in range(6):
        with spender(tmp_path, "any") as process:
            assert process.stdout.readline() == b"begins\n"
            time.sleep(chance.uniform(0, 0.01))
            process.kill()
        with Accounts(tmp_path / "accounts") as accounts:
            ledger = accounts.open("run")
            billed = [int(line) for line in (tmp_path / "meter").read_text().split()]
            worst = sum(1 for row in ledger.bill() if row["error"] == "interrupted") * 10
            assert ledger.reserved == Amount()
            assert sum(billed) <= ledger.spent.tokens <= min(2000, sum(billed) + worst)
    assert len(billed) > 10


def test_litellm_34732_sessions_that_race_share_one_budget():
    accounts = Accounts(budget=Budget(calls=20))
    taken, ready = [], threading.Barrier(16)

    def session() -> None:
        ready.wait()
        ledger = accounts.open("thread-1")
        for _ in range(4):
            try:
                taken.append(ledger.reserve(Amount(calls=1), **CALL))
            except BudgetExceededError:
                return

    threads = [threading.Thread(target=session) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 20


def test_litellm_40095_the_first_request_is_held_to_the_budget_too():
    with pytest.raises(BudgetExceededError):
        Accounts(budget=Budget(calls=1)).open("new").reserve(Amount(calls=2), **CALL)


HOSTILE = ["", ".", "..", "../x", "/etc/passwd", "a" * 10_000, "A", "a", "é", "e\u0301", "\0", "\ud800", "con", "a\nb"]


@pytest.mark.parametrize("make", [st.sampled_from(HOSTILE), st.text(max_size=30)])
def test_any_text_is_an_id_and_no_two_share_a_file_or_leave_the_folder(make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("root") / "accounts"
    accounts = Accounts(folder)

    @settings(max_examples=60, deadline=None)
    @given(st.sets(make, min_size=1, max_size=12))
    def check(ids):
        paths = {one: accounts.path(one) for one in ids}
        assert len({path.name.lower() for path in paths.values()}) == len(ids)
        assert all(path.parent == folder and len(path.name) < 100 and path.name.isascii() for path in paths.values())

    check()
    for number, one in enumerate(HOSTILE, 1):
        ledger = accounts.open(one)
        ledger.settle(ledger.reserve(Amount(number), **CALL), Amount(number))
    accounts.close()
    assert [accounts.open(one).spent.picousd for one in HOSTILE] == list(range(1, len(HOSTILE) + 1))
    accounts.close()
    assert [path.name for path in folder.parent.iterdir()] == ["accounts"]


def test_another_budget_for_an_open_account_is_refused_and_the_same_or_none_is_not():
    accounts = Accounts(budget=Budget(usd=2))
    ledger = accounts.open("a", Budget(usd=1))
    assert accounts.open("a") is accounts.open("a", Budget(usd=1.0)) is ledger
    with pytest.raises(LedgerError, match=r"is open with the budget .*leave the budget out, or close the account"):
        accounts.open("a", Budget(usd=2))
    assert accounts.open("b").budget == Budget(usd=2)
    accounts.close("a")
    assert accounts.open("a", Budget(usd=3)).budget == Budget(usd=3)


def test_a_closed_account_takes_no_more_and_what_was_under_way_is_booked(tmp_path):
    for accounts in (Accounts(), Accounts(tmp_path)):
        ledger = accounts.open("a")
        ledger.reserve(Amount(3), **CALL)
        accounts.close("a")
        accounts.close("a")
        assert (ledger.spent, ledger.reserved) == (Amount(3), Amount())
        with pytest.raises(LedgerError, match="is closed; open it again"):
            ledger.reserve(Amount(1), **CALL)
        assert accounts.open("a") is not ledger
    assert accounts.open("a").spent == Amount(3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_what_cannot_be_written_down_does_not_take_effect(tmp_path):
    ledger = Accounts(tmp_path).open("a")
    key = ledger.reserve(Amount(3), **CALL)
    child = os.fork()
    if child == 0:  # a forked process has the account, and may not write its journal
        refused = 0
        for act in (lambda: ledger.reserve(Amount(1), **CALL), lambda: ledger.settle(key, Amount(2))):
            try:
                act()
            except LedgerError:
                refused += (ledger.reserved, ledger.spent) == (Amount(3), Amount())
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    ledger.settle(key, Amount(2))
    assert ledger.spent == Amount(2)


def test_an_account_whose_journal_cannot_be_read_is_not_open_and_does_not_keep_the_file(tmp_path):
    accounts = Accounts(tmp_path)
    accounts.path("a").write_text("damage\n")
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"Line 1 of .* is damaged"):
            accounts.open("a")
    accounts.path("a").write_text("")
    assert accounts.open("a").spent == Amount()
    with pytest.raises(LedgerError, match="another account of this one"):
        Accounts(tmp_path).open("a")


def test_a_server_of_many_accounts_keeps_few_files_open_and_forgets_no_spending(tmp_path):
    with Accounts(tmp_path, budget=Budget(tokens=9), keep=3) as accounts:
        held, under_way = accounts.open("held"), accounts.open("under way").reserve(Amount(tokens=5), **CALL)
        for turn in range(2):
            for number in range(30):
                ledger = accounts.open(str(number))
                assert ledger.spent.tokens == 4 * turn
                ledger.settle(ledger.reserve(Amount(tokens=5), **CALL), Amount(tokens=4))
                del ledger
        closed = 0
        for number in range(30):
            try:
                Accounts(tmp_path).open(str(number))
                closed += 1
            except LedgerError:
                pass
        assert closed >= 30 - 3
        for name in ("held", "under way"):
            with pytest.raises(LedgerError, match="is being written already"):
                Accounts(tmp_path).open(name)
        assert accounts.open("held") is held
        accounts.open("under way").settle(under_way, Amount(tokens=1))
        assert accounts.open("under way").spent.tokens == 1


def test_threads_that_take_turns_on_more_accounts_than_are_kept_lose_no_call(tmp_path):
    accounts = Accounts(tmp_path, keep=2)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(40):
            name = str(chance.randrange(6))
            key = accounts.open(name).reserve(Amount(tokens=3), **CALL)
            accounts.open(name).settle(key, Amount(tokens=1))

    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert sum(accounts.open(str(name)).spent.tokens for name in range(6)) == 8 * 40


def test_a_config_names_the_account_and_one_without_a_thread_gets_a_sentence():
    accounts = Accounts()
    ledger = accounts.for_config({"configurable": {"thread_id": 7}}, Budget(calls=1))
    assert accounts.open("7") is ledger
    for config in (None, {}, {"configurable": {}}, {"configurable": {"thread_id": ""}}):
        with pytest.raises(LedgerError, match=r'names no thread.*\{"configurable": \{"thread_id"'):
            accounts.for_config(config)


def checkpoint(ledger):
    return json.loads(json.dumps(ledger.entries))


def test_what_a_checkpoint_holds_as_reserved_is_booked_unless_it_is_under_way_here(tmp_path):
    for folder in (None, tmp_path):
        gone = Accounts().open("a")
        cut_off, settled = gone.reserve(Amount(5), **CALL), gone.reserve(Amount(4), **CALL)
        gone.settle(settled, Amount(1))
        with Accounts(folder) as accounts:
            ledger = accounts.open("a", entries=checkpoint(gone))
            assert (ledger.spent, ledger.reserved) == (Amount(6), Amount())
            live = ledger.reserve(Amount(7), **CALL)
            for known in (gone, ledger, gone):
                assert accounts.open("a", entries=checkpoint(known)) is ledger
                assert (ledger.spent, ledger.reserved) == (Amount(6), Amount(7))
            # Another process took the live call for a dead one; this one knows better.
            mistaken = Accounts().open("a", entries=checkpoint(ledger))
            assert mistaken.entries[live]["error"] == "interrupted"
            accounts.open("a", entries=checkpoint(mistaken))
            ledger.settle(live, Amount(2))
            assert (ledger.spent, ledger.reserved) == (Amount(8), Amount())
            assert ledger.entries[cut_off]["error"] == "interrupted"
        if folder:
            assert Journal(accounts.path("a")).load() == ledger.entries
            assert Accounts(folder).open("a").spent == Amount(8)


def test_eight_threads_that_open_spend_absorb_and_break_off_leave_the_journal_equal_to_the_live_account(tmp_path):
    accounts = Accounts(tmp_path, budget=Budget(tokens=300))
    ready, pause = threading.Barrier(9), threading.Barrier(9)
    copies = [{}]

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(6):
            ready.wait()
            for _ in range(8):
                ledger = accounts.open("a", entries=chance.choice(copies))
                try:
                    with ledger.reservation(Amount(tokens=chance.randint(1, 9)), **CALL) as key:
                        copies.append(checkpoint(ledger))
                        outcome = chance.random()
                        if outcome < 0.3:
                            ledger.release(key)
                        elif outcome < 0.8:
                            ledger.settle(key, Amount(tokens=chance.randint(0, 1)))
                except BudgetExceededError:
                    pass
            pause.wait()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    ledger = accounts.open("a")
    for _ in range(6):
        ready.wait()
        while pause.n_waiting < 8:
            live = ledger.entries
            on_disk = Journal(accounts.path("a")).load()
            assert merge_entries(on_disk, live) == on_disk
            assert total(live, "spent").tokens + total(live, "reserved").tokens <= 300
        on_disk = Journal(accounts.path("a")).load()
        assert on_disk == ledger.entries
        assert (total(on_disk, "spent"), ledger.reserved) == (ledger.spent, Amount())
        pause.wait()
    for thread in threads:
        thread.join()
    lines = accounts.path("a").read_bytes().splitlines()
    assert len(lines) == 2 * len(ledger.entries)
    assert ledger.spent.tokens > 100
