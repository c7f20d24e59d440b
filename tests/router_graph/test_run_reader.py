"""What is read of logs: each run once and whole, over shards, retries, forks and damage, and nothing lost silently."""

from __future__ import annotations

import logging
import random
import tracemalloc
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.trajectories.assembly import assemble, missing_steps
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.log_index import LogIndex
from router_graph.trajectories.reader import read_lines, read_runs
from router_graph.trajectories.shards import LogError, encode, shards_in
from router_graph.trajectories.upgrade import unreadable, upgraded
from support.run_logs import (
    ASK,
    SAY,
    began,
    decided,
    drawn_runs,
    ended,
    line,
    observed,
    policy_call,
    runs_in,
    whole_run,
    write,
)

GOLDEN = Path(__file__).parent / "golden"


def shard(folder: Path, name: str, data: bytes) -> Path:
    path = folder / "2026-01-31" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def encoded(lines) -> list[bytes]:
    return [encode(one) for one in lines]


def test_runs_that_are_written_between_each_other_come_apart(tmp_path: Path):
    lines = [one for pair in zip(whole_run("a"), whole_run("b"), strict=True) for one in pair]
    write(tmp_path, lines)
    a, b = runs_in(tmp_path)
    assert (a.run_id, b.run_id) == ("a", "b") and a.steps[0].step["observations"] == b.steps[0].step["observations"]
    assert a.seconds == 3.0 and a.steps[0].call == policy_call() and a.steps[1].call is None


def test_a_run_that_another_process_went_on_with_is_one_run(tmp_path: Path):
    lines = whole_run("a", steps=4)
    shard(tmp_path, "2-later-by-name", b"".join(encoded(lines[:5])))
    shard(tmp_path, "1-earlier-by-name", b"".join(encoded(lines[5:])))
    report = LogReport()
    (run,) = runs_in(tmp_path, report)
    assert run == assemble("a", lines, LogReport()) and run.status == "ended"
    assert (report.shards, report.runs, report.lines, report.replaced) == (2, 1, len(lines), 0)


@given(drawn_runs(), st.randoms(use_true_random=False))
def test_the_order_in_which_shards_are_found_does_not_matter(tmp_path_factory, lines, chance: random.Random):
    folder = tmp_path_factory.mktemp("log")
    parts: list[list[bytes]] = [[], [], []]
    for n, one in enumerate(lines):
        one["at"] = float(n)
        chance.choice(parts).append(encode(one))
    for name, part in enumerate(parts):
        shard(folder, str(name), b"".join(part))
    (run,) = runs_in(folder)
    assert run == assemble(run.run_id, [orjson.loads(encode(one)[9:]) for one in lines], LogReport())


def test_a_step_that_was_decided_again_replaces_it_and_is_counted(tmp_path: Path):
    again = decided("a", 2, 2.5, actions=[SAY], thought="again")
    lines = [began("a"), decided("a", 1, 1), observed("a", 1, at=1.5), decided("a", 2, 2), again, ended("a", 3)]
    report = LogReport()
    write(tmp_path, lines)
    (run,) = runs_in(tmp_path, report)
    assert [one.number for one in run.steps] == [1, 2] and run.steps[1].at == 2.5 and report.replaced == 1
    assert run.steps[0].step["observations"]["0"]["hits"] and run.steps[1].step["observations"] == {}


def test_a_fork_replaces_what_came_after_it(tmp_path: Path):
    fork = [decided("a", 2, 10, actions=[ASK]), observed("a", 2, at=11, text="Of the fork.")]
    report = LogReport()
    write(tmp_path, [*whole_run("a", steps=4), *fork])
    (run,) = runs_in(tmp_path, report)
    assert [one.number for one in run.steps] == [1, 2] and report.replaced == 3
    assert run.status == "open" and not run.answer and run.seconds is None
    assert run.steps[1].step["observations"]["0"]["hits"][0]["text"] == "Of the fork."


def test_a_shard_that_was_copied_changes_nothing(tmp_path: Path):
    once = b"".join(encoded(whole_run("a", steps=3)))
    shard(tmp_path, "a", once)
    alone = runs_in(tmp_path)
    shard(tmp_path, "copy", once)
    report = LogReport()
    assert runs_in(tmp_path, report) == alone and report.replaced > 0


def test_a_run_that_failed_goes_on_when_it_is_resumed(tmp_path: Path):
    lines = [began("a"), decided("a", 1, 1), line("failed", "a", 2, error="ValueError: no"), observed("a", 1, at=2.5)]
    write(tmp_path / "1", lines)
    (failed,) = runs_in(tmp_path / "1")
    assert (failed.status, failed.error, failed.seconds) == ("failed", "ValueError: no", 2)
    write(tmp_path / "2", [*lines, decided("a", 2, 3, actions=[SAY])])
    (going_on,) = runs_in(tmp_path / "2")
    assert (going_on.status, going_on.error) == ("open", "") and going_on.steps[0].is_whole
    assert going_on.usd == pytest.approx(0.002 * 2 + 0.001) and going_on.tokens == 7 * 2 + 5


def test_a_graph_of_another_make_is_its_calls(tmp_path: Path):
    calls = [line("called", "f", n, call={**policy_call(), "call_id": f"c{n}"}) for n in (1, 2, 2)]
    told = line("began", "f", 0, question="Hello?", metadata={}, thread="", software={})
    write(tmp_path, [told, *calls])
    (run,) = runs_in(tmp_path)
    assert not run.is_ours and [one["call_id"] for one in run.calls] == ["c1", "c2"] and run.status == "open"


def test_every_cut_of_a_shard_gives_its_whole_lines_and_tells_the_torn_one(tmp_path: Path):
    data = b"".join(encoded(whole_run("a")))
    ends = {n + 1 for n, byte in enumerate(data) if byte == 10}
    for cut in range(1, len(data), 3):
        path = shard(tmp_path, "a", data[:cut])
        report = LogReport()
        lines = list(read_lines(path, report=report))
        whole = sum(end <= cut for end in ends) + (cut + 1 in ends)  # but for its line break, the last one is whole
        assert len(lines) == whole
        assert report.damaged == (cut not in ends and cut + 1 not in ends)
        if report.damaged:
            (damage,) = report.damages
            assert (damage.path, damage.line_number) == (path, whole + 1)
            assert "torn" in damage.why or "no line of a log" in damage.why


@given(st.data())
def test_no_changed_byte_goes_unnoticed_and_the_other_lines_are_read(tmp_path_factory, data: st.DataObject):
    lines = encoded(whole_run("a", steps=3))
    whole = b"".join(lines)
    place = data.draw(st.integers(0, len(whole) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[place]))
    folder = tmp_path_factory.mktemp("log")
    path = shard(folder, "a", whole[:place] + bytes([byte]) + whole[place + 1 :])
    report = LogReport()
    good = [encode(one) for one in read_lines(path, report=report)]
    hit = next(n for n in range(len(lines)) if place < sum(map(len, lines[: n + 1])))
    at_break = whole[place] == 10  # two lines become one
    expected = [one for n, one in enumerate(lines) if n != hit and not (at_break and n == hit + 1)]
    assert good == expected
    assert report.damaged in (1, 2) and report.damages[0].line_number == hit + 1


def test_files_that_are_no_shards_and_blank_lines_are_told_apart(tmp_path: Path):
    shard(tmp_path, "good", b"\n".join([b"", *encoded(whole_run("a"))]))
    foreign = shard(tmp_path, "foreign", b'{"text": "one"}\n' * 5_000)
    shard(tmp_path, "empty", b"")
    report = LogReport()
    assert len(runs_in(tmp_path, report)) == 1
    assert report.damaged == 1 and str(report.damages[0]) == f"{foreign}: it is no shard of a log"


def test_damage_that_nobody_asked_about_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    lines = encoded(whole_run("a"))
    shard(tmp_path, "a", b"".join([*lines[:2], b"deadbeef {}\n", *lines[2:], b"deadbeef {}\n"]))
    with caplog.at_level(logging.WARNING):
        assert len(list(read_runs(tmp_path))) == 1
    (said,) = caplog.messages
    assert said.startswith("2 lines were skipped; the first is line 3 of ")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: None, "There are no runs in .+; record some first."),
        (lambda folder: shard(folder, "a", b""), "There are no runs in .+: it is empty; record some first."),
        (lambda folder: shard(folder, "a", b"{}\n"), "No run can be read: .+a.jsonl: it is no shard of a log."),
        (
            lambda folder: shard(folder, "a", encode({**began("a"), "v": 7})),
            "No run can be read: line 1 of .+: it has schema 7, and this version knows up to 1; update polyroute.",
        ),
        (lambda folder: shard(folder, "a", encode(began("a"))[:-9]), "No run can be read: line 1 of .+: it is torn.+"),
        (lambda folder: (folder / "x.jsonl").mkdir(), ".+x.jsonl cannot be read .+"),
    ],
)
def test_a_log_that_cannot_be_read_is_one_sentence_at_once(tmp_path: Path, make, sentence: str):
    make(tmp_path)
    with pytest.raises(LogError, match=f"^{sentence}$"):
        read_runs(tmp_path)


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path):
    with pytest.raises(LogError, match=r"^There is no .+nowhere; give the folder that runs were recorded in"):
        read_runs(tmp_path / "nowhere")


def test_lines_of_a_newer_version_are_counted_and_the_others_read(tmp_path: Path):
    newer = encode({**decided("a", 2, 9), "v": 2})
    shard(tmp_path, "a", b"".join([*encoded(whole_run("a")), newer]))
    report = LogReport()
    (run,) = runs_in(tmp_path, report)
    assert run.status == "ended" and report.damaged == 1 and "schema 2" in report.damages[0].why


def test_what_an_older_version_wrote_is_brought_to_today_step_by_step():
    upgrades = {
        0: lambda old: {**{key: value for key, value in old.items() if key != "q"}, "question": old["q"]},
        1: lambda old: {**old, "question": old["question"].strip()},
    }
    old = {"v": 0, "run": "a", "kind": "began", "at": 1.0, "q": " Who? "}
    assert upgraded(old, upgrades, now=2) == {"v": 2, "run": "a", "kind": "began", "at": 1.0, "question": "Who?"}
    assert upgraded({**old, "v": 2}, upgrades, now=2) == {**old, "v": 2}
    assert unreadable(0, upgrades, now=2) is None
    assert unreadable(0, {1: upgrades[1]}, now=2) == "it has schema 0, and nothing is known of schema 0"


@pytest.mark.parametrize("name", sorted(one.stem for one in GOLDEN.glob("runs-*.jsonl")))
def test_logs_that_older_versions_wrote_are_read_as_they_were(name: str):
    report = LogReport()
    runs = runs_in(GOLDEN / f"{name}.jsonl", report)
    told = [orjson.loads(one) for one in (GOLDEN / f"{name}.expected.json").read_bytes().splitlines()]
    for run, expected in zip(runs, told, strict=True):
        found = orjson.loads(orjson.dumps(run))
        assert {key: found[key] for key in expected} == expected  # fields that came later are not in it
    assert (report.damaged, report.replaced, report.lost) == (1, 1, 1)


def test_a_step_that_is_missing_is_told(tmp_path: Path):
    lines = [began("a"), decided("a", 1, 1), observed("a", 2, at=2.5), decided("a", 3, 3), ended("a", 4)]
    report = LogReport()
    write(tmp_path, lines)
    (run,) = runs_in(tmp_path, report)
    assert missing_steps(run) == [2] and report.lost == 1
    assert missing_steps(assemble("b", whole_run("b"), LogReport())) == []


def test_only_the_wanted_runs_are_given(tmp_path: Path):
    write(tmp_path, [*whole_run("a"), began("b")])
    assert [run.run_id for run in read_runs(tmp_path, where=lambda run: run.status == "ended")] == ["a"]


def test_memory_does_not_grow_with_the_length_of_the_runs(tmp_path: Path):
    def peak(folder: Path, text: str) -> int:
        lines = []
        for n in range(80):
            run = whole_run(f"{n}", n)
            run[2]["observation"]["text"] = text
            lines += run
        write(folder, sorted(lines, key=lambda one: one["at"]), most_characters=None)
        list(read_runs(folder))  # what is imported on the way is not counted
        tracemalloc.start()
        for _ in read_runs(folder):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    small, large = peak(tmp_path / "small", "x"), peak(tmp_path / "large", "x" * 500_000)
    assert large - small < 15_000_000, "one run is in memory, and not the eighty"


def test_a_run_whose_lines_make_no_sense_is_damage_and_the_others_are_read(tmp_path: Path):
    odd = [line("decided", "odd", 1, step={"number": "x"}), line("observed", "odd", 2)]
    path = write(tmp_path, [*odd, *whole_run("a")])
    report = LogReport()
    assert [run.run_id for run in runs_in(tmp_path, report)] == ["a"]
    assert report.damaged == 1 and str(report.damages[0]).startswith(f"{path}: the run odd cannot be put together (")


def test_an_index_takes_little_memory_whatever_the_lines_hold(tmp_path: Path):
    runs, steps = 2_000, 4
    write(tmp_path, [one for n in range(runs) for one in whole_run(f"{n:032x}", n, steps=steps)])
    report = LogReport()
    tracemalloc.start()
    index = LogIndex(shards_in(tmp_path), report)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(index.runs) == runs and report.lines == runs * 2 * steps + runs
    assert kept < 400 * runs + 16 * report.lines


def test_scores_that_lie_in_a_log_are_no_part_of_it_wherever_the_log_lies(tmp_path: Path):
    log = tmp_path / "rewards" / "runs"
    write(log, whole_run("a"))
    (log / "rewards").mkdir()
    (log / "rewards" / "verifiable-1.jsonl").write_text('{"about": {}}\n')
    report = LogReport()
    assert [run.run_id for run in read_runs(log, report=report)] == ["a"]
    assert report.damaged == 0
