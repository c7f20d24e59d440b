"""A journal loses no line that took effect, whatever cuts it off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_graph.budget import Amount, Budget
from router_graph.errors import LedgerError
from router_graph.journal import Journal
from router_graph.ledger import Ledger, merge_entries


def entry(spent=0, state="settled", name="m", **more):
    return {
        "state": state, "purpose": "model", "name": name, "reserved": Amount(9).as_dict(),
        "spent": Amount(spent).as_dict(), "estimated": False, "error": None, "at": 0.5, **more,
    }  # fmt: skip


LINES = st.lists(
    st.tuples(
        st.text(max_size=8),
        st.builds(
            entry,
            st.integers(0, 3),
            st.sampled_from(["reserved", "released", "settled"]),
            st.text(max_size=20),
            usage=st.none() | st.dictionaries(st.text(max_size=3), st.integers()),
        ),
    ),
    min_size=1,
    max_size=3,
)


def merged(lines):
    entries = {}
    for key, one in lines:
        entries = merge_entries(entries, {key: one})
    return entries


@settings(max_examples=5, deadline=None)
@given(lines=LINES)
def test_whatever_byte_a_crash_cuts_at_the_lines_before_it_stand_and_the_next_begins_afresh(
    lines, tmp_path_factory: pytest.TempPathFactory
):
    path = tmp_path_factory.mktemp("cuts") / "a.jsonl"
    ends = [0]
    with Journal(path) as journal:
        for key, one in lines:
            journal.append(key, one)
            ends.append(path.stat().st_size)
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        # A line that lacks only its line break is whole.
        stand = lines[: sum(end - 1 <= cut for end in ends[1:])]
        journal = Journal(path)
        assert journal.load() == merged(stand)
        with journal:
            journal.append("next", entry(1))
            journal.append("last", entry(2))
        assert Journal(path).load() == merged([*stand, ("next", entry(1)), ("last", entry(2))])
        assert all(json.loads(line) for line in path.read_bytes().splitlines())


@pytest.mark.parametrize(
    "damage",
    [b"", b"\0" * 40, b'["b", {"state": "res', b"{}", b"[1, 2, 3]", b'["b", {"state": "paid"}]', b"\xff\xfe", b"null"],
)
def test_damage_in_the_middle_is_named_and_not_skipped(tmp_path, damage):
    path = tmp_path / "a.jsonl"
    with Journal(path) as journal:
        journal.append("a", entry(1))
    path.write_bytes(path.read_bytes() + damage + b"\n" + json.dumps(["c", entry(2)]).encode() + b"\n")
    with pytest.raises(LedgerError, match=rf"Line 2 of .*{path.name} is damaged; .* or remove it"):
        Journal(path).load()


def test_a_journal_that_nobody_has_written_is_empty_and_reading_it_makes_nothing(tmp_path):
    assert Journal(tmp_path / "no" / "a.jsonl").load() == {}
    assert list(tmp_path.iterdir()) == []


def test_any_order_of_lines_tells_the_same_account(tmp_path):
    lines = [("a", entry(0, "reserved")), ("a", entry(3)), ("b", entry(0, "reserved")), ("b", entry(0, "released"))]
    for number, order in enumerate([lines, lines[::-1]]):
        with Journal(tmp_path / str(number)) as journal:
            for line in order:
                journal.append(*line)
        assert Journal(tmp_path / str(number)).load() == {"a": entry(3), "b": entry(0, "released")}


def test_a_file_that_is_no_file_gets_a_sentence(tmp_path):
    with pytest.raises(LedgerError, match="cannot be used"):
        Journal(tmp_path).load()
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot be used"):
        Journal(tmp_path / "file" / "a.jsonl").append("a", entry())


WRITE_AND_WAIT = """
import sys
from router_graph.journal import Journal
journal = Journal(sys.argv[1])
journal.acquire()
print("holds", flush=True)
sys.stdin.read()
"""


def test_a_second_process_gets_a_sentence_and_a_killed_one_frees_the_file(tmp_path):
    path = tmp_path / "a.jsonl"
    holder = subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_WAIT, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "holds\n"
        for attempt in (Journal(path).acquire, lambda: Journal(path).append("a", entry())):
            with pytest.raises(LedgerError, match="is being written already, by another process"):
                attempt()
        assert Journal(path).load() == {}  # reading is free
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    with Journal(path) as journal:
        journal.append("a", entry(1))
        with pytest.raises(LedgerError, match="or another account of this one"):
            Journal(path).acquire()
    Journal(path).acquire()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_forked_process_cannot_write_into_its_parents_account(tmp_path):
    journal = Journal(tmp_path / "a.jsonl")
    journal.append("a", entry(1))
    child = os.fork()
    if child == 0:
        try:
            journal.append("b", entry(1))
        except LedgerError as error:
            os._exit(0 if "forked from" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    journal.append("c", entry(1))
    with pytest.raises(LedgerError, match="already"):  # the child has not freed the lock either
        Journal(journal.path).acquire()
    assert set(journal.load()) == {"a", "c"}


FULL_DISK = """
import resource, sys
from router_graph.budget import Amount
from router_graph.errors import LedgerError
from router_graph.journal import Journal
from router_graph.ledger import Ledger

journal = Journal(sys.argv[1])
ledger = Ledger(on_change=journal.append)
first = ledger.reserve(Amount(5), purpose="model", name="m")
size = journal.path.stat().st_size
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for room in range(0, size, 17):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, hard))
    for act in (lambda: ledger.reserve(Amount(1), purpose="model", name="m"), lambda: ledger.settle(first, Amount(2))):
        try:
            act()
            raise SystemExit("was written")
        except LedgerError as error:
            assert "File too large" in str(error) and "nothing was booked" in str(error), error
    assert journal.path.stat().st_size == size
    assert (ledger.reserved, ledger.spent) == (Amount(5), Amount())
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
ledger.settle(first, Amount(2))
assert journal.load() == ledger.entries
print("done")
"""


def test_a_full_disk_books_nothing_and_leaves_a_whole_file(tmp_path):
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path / "a.jsonl"], capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.mark.parametrize("fsync", [False, True])
def test_a_reader_beside_eight_writing_threads_never_sees_less_than_the_live_account(tmp_path, fsync):
    journal = Journal(tmp_path / "a.jsonl", fsync=fsync)
    ledger = Ledger(Budget(calls=1000), on_change=journal.append)

    def work() -> None:
        for _ in range(12):
            key = ledger.reserve(Amount(7, calls=1), purpose="model", name="m" * 5000)
            ledger.settle(key, Amount(3, calls=1))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        live = ledger.entries
        on_disk = journal.load()
        assert merge_entries(on_disk, live) == on_disk
    assert journal.load() == ledger.entries
    assert len(ledger.entries) == 96
    journal.close()
    journal.close()
