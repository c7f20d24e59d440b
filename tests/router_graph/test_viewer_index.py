"""The viewer's index: it follows a log as it grows, whoever writes it, survives damage, and leaves the log alone."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router_graph.trajectories.compact import compact
from router_graph.trajectories.shards import LogError, encode
from router_graph.viewer import index as index_module
from router_graph.viewer import schema
from router_graph.viewer.index import Index
from router_graph.viewer.listing import page
from router_graph.viewer.taking import files_of
from support.run_logs import SAY, began, decided, ended, observed, record_real_runs, runs_in, whole_run, write


class Watched:
    """An index that is closed at the end, and what it says."""

    def __init__(self, log: Path, cache: Path) -> None:
        self.index = Index(log, cache=cache, beside=[])

    def rows(self) -> dict[str, dict[str, Any]]:
        """By id, as they are after the index has looked."""
        self.index.wake(10)
        assert self.index.problem is None, self.index.problem
        with self.index.read() as db:
            return {one["id"]: one for one in page(db, "1", [], sort="at", limit=500)[1]}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def watched(tmp_path: Path, log: Path) -> Iterator[Watched]:
    one = Watched(log, tmp_path / "cache" / "index.sqlite")
    yield one
    one.index.close()


def test_a_log_that_is_not_there_yet_is_empty_and_grows(watched: Watched, log: Path):
    assert watched.rows() == {} and watched.index.share is None
    path = write(log, [began("a", 1), decided("a", 1, 2)])
    assert watched.rows()["a"] | {"live": False} == watched.rows()["a"]
    assert (watched.rows()["a"]["status"], watched.rows()["a"]["path"]) == ("open", ["kb:books"])
    with path.open("ab") as file:
        file.write(encode(decided("a", 2, 3, actions=[SAY])))
        assert len(watched.rows()["a"]["path"]) == 1  # still in the writer's buffer
        file.write(whole := encode(ended("a", 4)))
        file.flush()
    assert whole and watched.rows()["a"]["path"] == ["kb:books", "answer"]
    assert watched.rows()["a"]["status"] == "ended"


def test_half_a_line_waits_for_its_end(watched: Watched, log: Path):
    path = write(log, whole_run("a"))
    raw = encode(began("b", 9))
    with path.open("ab") as file:
        file.write(raw[:20])
        file.flush()
        assert set(watched.rows()) == {"a"} and watched.index.damaged == 0
        file.write(raw[20:])
    assert set(watched.rows()) == {"a", "b"} and watched.index.damaged == 0


def test_a_run_that_goes_on_in_another_process_is_one_run(watched: Watched, log: Path):
    lines = whole_run("a", steps=3)
    write(log, lines[:3])
    assert watched.rows()["a"]["status"] == "open"
    write(log, lines[3:])
    (row,) = watched.rows().values()
    assert (row["status"], row["steps"], row["usd"]) == ("ended", 3, 0.03)
    assert watched.index.record("a") == runs_in(log)[0]


def test_rows_tell_what_a_run_came_to(watched: Watched, log: Path):
    write(log, whole_run("right", 1, metadata={"gold": ["frank herbert"], "question_id": "q1"}))
    write(log, whole_run("wrong", 2, metadata={"gold": "Asimov"}))
    write(log, [*whole_run("yes", 3, metadata={"gold": ["yes"]})[:-1], ended("yes", 9, answer="Yes, it is not so.")])
    write(log, [*whole_run("odd", 4, metadata={"gold": {"not": "a list"}, "question_id": "q4"})])
    origin = {"forked_from": {"run": "right", "step": 2}, "question_id": "q5"}
    write(log / "forks", whole_run("fork", 5, metadata=origin))
    rows = watched.rows()
    assert {name: row["right"] for name, row in rows.items()} == {
        **{"right": True, "wrong": False, "yes": False, "odd": None},
        "fork": None,
    }
    assert rows["fork"]["forked_from"] == {"run": "right", "step": 2} and rows["right"]["forks"] == 1
    assert rows["right"]["path"] == ["kb:books", "answer"] and rows["right"]["question_id"] == "q1"
    assert all(one["labels"] == 0 and one["reward"] is None for one in rows.values())


def test_one_run_tells_what_is_right_for_its_question(watched: Watched, log: Path):
    write(log, whole_run("before", 1))
    write(log, whole_run("elsewhere", 2, metadata={"question_id": "q2"}))
    assert {row["right"] for row in watched.rows().values()} == {None}
    write(log, whole_run("told", 3, metadata={"gold": ["frank herbert"], "question_id": "q1"}))
    write(log, [*whole_run("after", 4)[:-1], ended("after", 9, answer="Isaac Asimov")])
    rights = {name: row["right"] for name, row in watched.rows().items()}
    assert rights == {"before": True, "elsewhere": None, "told": True, "after": False}


def test_damaged_lines_are_counted_and_the_others_stand(watched: Watched, log: Path):
    path = write(log, [*whole_run("a"), *whole_run("b", 50)])
    lines = path.read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b"Dune", b"Dane")
    odd = {"v": 1, "run": "odd", "kind": "decided", "at": "yesterday", "step": "none"}
    path.write_bytes(b"".join([*lines, encode(odd), b"not a line\n", lines[1][:-20]]))
    os.utime(path, (1, 1))  # long ago, so that the torn line will not be written to its end
    assert set(watched.rows()) == {"a", "b"}
    assert watched.index.damaged == 4


def test_another_viewer_of_the_log_sees_the_same_and_a_second_opening_reads_nothing_again(tmp_path: Path, log: Path):
    record_real_runs(log, "One?", "Two?")
    cache = tmp_path / "index.sqlite"
    one, two = Watched(log, cache), Watched(log, cache)
    both = [threading.Thread(target=each.rows) for each in (one, two)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert one.rows() == two.rows() and len(one.rows()) == 2
    one.index.close()
    two.index.close()
    for shard in log.rglob("*.jsonl"):
        shard.write_bytes(b"x" * shard.stat().st_size)  # what would be seen if it were read again
    again = Watched(log, cache)
    assert len(again.rows()) == 2 and again.index.damaged == 0
    again.index.close()


def test_a_request_sees_one_state_of_the_log(watched: Watched, log: Path):
    write(log, whole_run("a"))
    assert set(watched.rows()) == {"a"}
    with watched.index.read() as db:
        before = page(db, "1", [])[0]
        shutil.rmtree(log)
        assert watched.rows() == {}
        assert (before, page(db, "1", [])[0]) == (1, 1)


def test_an_index_that_somebody_takes_away_is_told_and_made_again(watched: Watched, tmp_path: Path, log: Path):
    write(log, whole_run("a"))
    assert set(watched.rows()) == {"a"}
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(LogError, match="just now; load the page again"), watched.index.read():
        pass
    watched.index.wake(10)  # notices, and makes it again
    assert set(watched.rows()) == {"a"}


def test_a_damaged_or_older_index_is_made_again(tmp_path: Path, log: Path):
    write(log, whole_run("a"))
    cache = tmp_path / "index.sqlite"
    cache.write_bytes(b"no database" * 1000)
    for _ in range(2):
        one = Watched(log, cache)
        assert set(one.rows()) == {"a"}
        one.index.close()
        db = sqlite3.connect(cache)
        db.execute("PRAGMA user_version=1")
        db.close()


def test_a_log_that_was_replaced_is_read_anew(watched: Watched, log: Path):
    path = write(log, whole_run("a"))
    assert set(watched.rows()) == {"a"}
    path.unlink()
    write(log, whole_run("b"))
    assert set(watched.rows()) == {"b"}


def test_what_is_changed_under_the_index_is_told(watched: Watched, log: Path):
    path = write(log, whole_run("a"))
    watched.rows()
    path.write_bytes(path.read_bytes().replace(b"Dune", b"Dane"))
    with pytest.raises(LogError, match="was changed after it was read"):
        watched.index.record("a")


def test_a_compacted_log_reads_the_same_and_its_forks_too(tmp_path: Path, log: Path):
    write(log, [line for n in range(30) for line in whole_run(f"r{n}", n)])
    into = tmp_path / "compacted"
    compact(log, into)
    write(into / "forks", whole_run("fork", 99))
    raw, packed = Watched(log, tmp_path / "a.sqlite"), Watched(into, tmp_path / "b.sqlite")
    assert packed.rows().pop("fork")["id"] == "fork"
    assert {name: row for name, row in packed.rows().items() if name != "fork"} == raw.rows()
    assert packed.index.record("r7") == raw.index.record("r7")
    assert packed.index.record("nobody") is None
    for one in (raw, packed):
        one.index.close()


def test_the_log_may_be_read_only_and_the_cache_out_of_reach(tmp_path: Path, log: Path, monkeypatch):
    write(log, whole_run("a"))
    before = {path: path.stat().st_mtime_ns for path in [log, *log.rglob("*")]}
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(schema, "index_path", lambda _: tmp_path / "file" / "index.sqlite")
    index = Index(log, beside=[])
    index.wake(10)
    assert index.record("a") is not None
    index.close()
    assert {path: path.stat().st_mtime_ns for path in [log, *log.rglob("*")]} == before


def test_listeners_hear_which_runs_grew_and_nothing_is_looked_at_while_nobody_listens(
    watched: Watched, log: Path, monkeypatch
):
    monkeypatch.setattr(index_module, "TICK_S", 0.03)
    path = write(log, [began("a")])
    watched.rows()
    heard, news = set[str](), threading.Event()

    def hear(runs: set[str]) -> None:
        heard.update(runs)
        news.set()

    end = watched.index.listen(hear)
    with path.open("ab") as file:
        file.write(encode(decided("a", 1, 1)))
    assert news.wait(5) and heard == {"a"}
    end()
    write(log, [began("b")])
    looks = list[float]()

    def watched_files(*given: Path) -> Any:
        looks.append(time.monotonic())
        return files_of(*given)

    monkeypatch.setattr(index_module, "files_of", watched_files)
    time.sleep(0.15)
    assert len(looks) <= 1 and "b" not in heard  # the look that was under way
    assert set(watched.rows()) == {"a", "b"}


def test_a_step_that_was_decided_again_replaces_what_came_after_it(watched: Watched, log: Path):
    write(log, [*whole_run("a", steps=3), decided("a", 1, 50), observed("a", 1, at=51)])
    (row,) = watched.rows().values()
    assert (row["steps"], row["status"]) == (1, "open")
    with watched.index.read() as db:
        assert db.execute("SELECT count(*) FROM acts").fetchone()[0] == 1
