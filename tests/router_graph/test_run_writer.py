"""What is written of runs: whole lines, in one file a process, whatever threads, forks, kills and full disks do."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from pathlib import Path

import orjson
import pytest

from router_graph.errors import SettingsError
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.reader import read_lines
from router_graph.trajectories.shards import encode, shards_in
from router_graph.trajectories.writer import RunWriter
from support.run_logs import began, ended, line, record_real_runs, runs_in, whole_run, write

TESTS = Path(__file__).parents[1]


def script(code: str, *args: object, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_line_is_the_checksum_of_its_json_and_its_json(tmp_path: Path):
    path = write(tmp_path, [began("r1")])
    raw = path.read_bytes()
    checksum, _, body = raw.rstrip(b"\n").partition(b" ")
    assert int(checksum, 16) == zlib.crc32(body)
    assert orjson.loads(body) == orjson.loads(orjson.dumps(began("r1")))
    assert raw.count(b"\n") == 1
    assert path.parent.parent == tmp_path and path.parent.name == time.strftime("%Y-%m-%d", time.gmtime())


def test_what_a_graph_ends_with_is_what_is_read_back(tmp_path: Path):
    results = record_real_runs(tmp_path, "One?", "Two?")
    runs = runs_in(tmp_path)
    for result, run in zip(results, runs, strict=True):
        assert [one.step for one in run.steps] == result["steps"]
        assert (run.answer, run.stop_reason, run.status) == (result["answer"], result["stop_reason"], "ended")
        assert run.question_id == "q7" and run.is_ours and all(one.is_whole for one in run.steps)


def test_lines_of_many_threads_are_all_whole(tmp_path: Path):
    with RunWriter(tmp_path, sync="never") as writer:
        work = [
            threading.Thread(target=lambda n=n: [writer.write(one) for one in whole_run(f"{n}", steps=50)])
            for n in range(8)
        ]
        for one in work:
            one.start()
        for one in work:
            one.join()
    report = LogReport()
    assert len(runs_in(tmp_path, report)) == 8
    assert report.damaged == 0 and report.lines == writer.written == 8 * 101 and report.shards == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_begins_a_shard_of_its_own(tmp_path: Path):
    with RunWriter(tmp_path) as writer:
        writer.write(began("parent"))
        with writer._lock:  # as if another thread was just writing
            child = os.fork()
            if child == 0:
                os._exit(0 if writer.write(began("child")) and writer.written == 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        writer.write(ended("parent"))
    shards = shards_in(tmp_path)
    assert len(shards) == 2 and sorted(len(list(read_lines(one))) for one in shards) == [1, 2]


def test_processes_that_are_killed_lose_at_most_the_line_that_they_were_writing(tmp_path: Path):
    code = """
        import sys
        from router_graph.trajectories.writer import RunWriter
        from support.run_logs import began
        with RunWriter(sys.argv[1]) as writer:
            for number in range(10**9):
                assert writer.write(began(f"{sys.argv[2]}-{number}", question="x" * 9_000))
                print(number, flush=True)
    """
    processes = [script(code, tmp_path, n) for n in range(2)]
    told = []
    for one in processes:
        for _ in range(200):
            assert one.stdout is not None
            told.append(one.stdout.readline())
        one.send_signal(signal.SIGKILL)
    rest = [one.communicate()[0].splitlines() for one in processes]
    report = LogReport()
    runs = {run.run_id for run in runs_in(tmp_path, report)}
    assert report.shards == 2 and report.damaged <= 2
    for n, lines in enumerate(rest):
        assert len([run for run in runs if run.startswith(f"{n}-")]) >= 200 + len(lines)


def test_a_full_disk_costs_lines_but_never_the_run_and_is_said_once(tmp_path: Path):
    code = """
        import logging, resource, sys
        from router_graph.trajectories.writer import RunWriter
        from support.run_logs import began, record_real_runs
        logging.basicConfig()
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        writer = RunWriter(sys.argv[1])
        done = [writer.write(began(f"{n}", question="x" * 9_000)) for n in range(20)]
        assert done == [True] * 10 + [False] * 10, done
        assert writer.write(began("small")) and (writer.written, writer.dropped) == (11, 10), writer.dropped
    """
    process = script(code, tmp_path)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert said.count("could not be written") == 1
    report = LogReport()
    assert len(runs_in(tmp_path, report)) == 11 and report.damaged == 0


def test_a_folder_that_cannot_be_written_is_one_sentence_when_the_writer_is_made(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match=r"^Runs cannot be recorded in .*file.* \(.+\); give a folder that can be "):
        RunWriter(tmp_path / "file" / "runs")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(SettingsError, match="cannot be recorded"):
            RunWriter(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("options", [{"sync": "always"}, {"most_characters": 0}])
def test_settings_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, object]):
    with pytest.raises(SettingsError, match=r"^[^\n]+\.$"):
        RunWriter(tmp_path, **options)


@pytest.mark.parametrize("sync", ["run", "line", "never"])
def test_all_is_there_after_closing_and_a_later_line_begins_another_shard(tmp_path: Path, sync: str):
    writer = RunWriter(tmp_path, sync=sync)
    for n in range(3):
        for one in whole_run(f"a{n}"):
            writer.write(one)
    writer.close()
    assert not [one for one in threading.enumerate() if one.name == "runs-sync"]
    writer.write(began("b"))
    writer.close()
    assert len(runs_in(tmp_path)) == 4 and len(shards_in(tmp_path)) == 2


def test_a_shard_that_was_removed_meanwhile_is_begun_anew(tmp_path: Path):
    with RunWriter(tmp_path) as writer:
        writer.write(began("a"))
        assert writer.path is not None
        writer.path.unlink()
        writer.path.parent.rmdir()
        writer.write(began("b"))
    assert [run.run_id for run in runs_in(tmp_path)] == ["b"]


def test_a_new_day_is_a_new_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("router_graph.trajectories.shards.today", lambda: "2026-01-31")
    monkeypatch.setattr("router_graph.trajectories.writer.today", lambda: "2026-01-31")
    with RunWriter(tmp_path) as writer:
        writer.write(began("r1"))
        for name in ("shards", "writer"):
            monkeypatch.setattr(f"router_graph.trajectories.{name}.today", lambda: "2026-02-01")
        writer.write(ended("r1", 1.0))
    assert [one.parent.name for one in shards_in(tmp_path)] == ["2026-01-31", "2026-02-01"]
    (run,) = runs_in(tmp_path)
    assert run.status == "ended" and run.question


def test_giant_texts_keep_their_head_and_say_what_they_were(tmp_path: Path):
    picture = "data:image/png;base64," + "A" * 5_000
    giant = line("observed", "r1", 1.0, number=1, position=0, observation={"text": "word " * 1_000, "hits": []})
    write(tmp_path, [began("r1", images=[picture]), giant], most_characters=1_000)
    first, second = read_lines(tmp_path)
    text = second["observation"]["text"]
    assert text.startswith("word word") and "characters=5000; sha256=" in text and len(text) < 1_200
    assert first["images"][0].startswith("data:image/png;cut;characters=5022;sha256=")


def test_what_json_cannot_say_becomes_text_and_nothing_of_the_line_is_lost(tmp_path: Path):
    odd = {"half \ud83d": "\udc00", (1, 2): {3}, "huge": 2**80, "object": Path("x"), "nan": float("nan")}
    write(tmp_path, [began("r1", metadata=odd)])
    (run,) = runs_in(tmp_path)
    assert run.metadata["huge"] == str(2**80) and run.metadata["object"] == "x" and run.question
    assert len(run.metadata) == len(odd)


def test_a_line_that_cannot_be_made_is_counted_and_the_next_is_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    deep: dict[str, object] = {}
    deep["deep"] = deep
    with caplog.at_level(logging.WARNING), RunWriter(tmp_path) as writer:
        assert not writer.write(began("r1", metadata=deep))
        assert not writer.write(began("r1", metadata=deep))
        assert writer.write(began("r2"))
    assert (writer.written, writer.dropped) == (1, 2) and writer.problem
    assert len(caplog.records) == 1 and "the run goes on" in caplog.text


def test_a_run_id_of_any_text_is_read_back(tmp_path: Path):
    ids = ['with "quotes"', "back\\slash", "löng " * 50, "", "line\nbreak", "\u2028"]
    write(tmp_path, [began(one) for one in ids])
    assert [run.run_id for run in runs_in(tmp_path)] == ids
    assert encode(began("a")).startswith(encode(began("a"))[:9] + b'{"v":1,"run":"a"')
