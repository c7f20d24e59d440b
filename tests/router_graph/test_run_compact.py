"""Shards to parquet and back, to the bit; a compaction that breaks off goes on; columns that training reads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_graph.errors import MissingExtraError
from router_graph.trajectories.columns import RUN_COLUMNS, STEP_COLUMNS
from router_graph.trajectories.compact import compact, fingerprint_of
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.manifest import read_manifest
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.shards import LogError
from router_graph.trajectories.steps import read_step_batches
from router_graph.trajectories.views import view_at
from support.run_logs import (
    began,
    decided,
    drawn_runs,
    ended,
    line,
    observed,
    policy_call,
    record_real_runs,
    runs_in,
    whole_run,
    write,
)

TESTS = Path(__file__).parents[1]


def files(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir()}


def bits(runs) -> list[bytes]:
    """The records in a form in which -0.0 is not 0.0, nor 1 1.0; the order of keys counts as little as it does."""
    return [orjson.dumps(one, option=orjson.OPT_SORT_KEYS) for one in runs]


@settings(max_examples=60)
@given(st.lists(drawn_runs(), min_size=1, max_size=3))
def test_any_runs_are_the_same_from_parquet_as_from_shards(tmp_path_factory, logs):
    folder = tmp_path_factory.mktemp("log")
    write(folder / "log", [one for lines in logs for one in lines])
    compact(folder / "log", folder / "parquet")
    from_shards, from_parquet = runs_in(folder / "log"), runs_in(folder / "parquet")
    assert from_parquet == from_shards
    assert bits(from_parquet) == bits(from_shards)


def test_real_runs_are_the_same_and_so_is_what_the_policy_saw(tmp_path: Path):
    record_real_runs(tmp_path / "log", "One?", "Two?")
    compact(tmp_path / "log", tmp_path / "parquet")
    one, other = runs_in(tmp_path / "log"), runs_in(tmp_path / "parquet")
    assert one == other and view_at(one[0], 3) == view_at(other[0], 3)


def test_what_is_reported_of_a_log_is_reported_of_its_parquet_too(tmp_path: Path):
    again = [decided("a", 2, 9), observed("b", 4, at=9)]
    odd = line("decided", "odd", 1, step={})
    path = write(tmp_path / "log", [*whole_run("a"), began("b"), odd, *again])
    path.write_bytes(path.read_bytes()[:-5] + b"\n")
    path.open("ab").write(b"torn")
    reports = [LogReport() for _ in range(3)]
    runs_in(tmp_path / "log", reports[0])
    compact(tmp_path / "log", tmp_path / "parquet", report=reports[1])
    runs_in(tmp_path / "parquet", reports[2])
    counts = {(one.shards, one.lines, one.bytes, one.damaged, one.replaced, one.lost, one.runs) for one in reports}
    assert len(counts) == 1 and reports[0].damaged == 3


def test_columns_have_their_types_and_what_training_reads(tmp_path: Path):
    write(tmp_path / "log", whole_run("a"))
    manifest = compact(tmp_path / "log", tmp_path / "parquet")
    (part,) = manifest["parts"]
    for name, columns in ((part["runs_file"], RUN_COLUMNS), (part["steps_file"], STEP_COLUMNS)):
        told = {one.name: str(one.type) for one in pq.read_schema(tmp_path / "parquet" / name)}
        assert {key: value.replace("element: ", "") for key, value in told.items()} == columns
    first, second = (row for batch in read_step_batches(tmp_path / "parquet") for row in batch.to_pylist())
    expected = {
        "run_id": "a",
        "question_id": "q1",
        "number": 1,
        "policy": "tiny",
        "propensity": 0.7,
        "legal": ["kb:books", "kb:tables", "answer"],
        "probabilities": [0.7, 0.1, 0.2],
        "kinds": ["kb"],
        "targets": ["kb:books"],
        "queries": ["Who wrote Dune?"],
        "statuses": ["ok"],
        "usd": 0.002,
        "routes_usd": 0.001,
        "prompt_ids": [1, 2, 3],
        "completion_ids": [4, 5],
        "logprobs": [-0.5, -0.125],
    }
    assert {key: first[key] for key in expected} == expected
    assert second["kinds"] == ["answer"] and second["queries"] == [None] and second["statuses"] == [None]
    assert second["prompt"] is None and second["prompt_ids"] is None
    assert orjson.loads(first["prompt"])[1] == {"role": "human", "content": "Who wrote Dune?"}


def test_some_columns_can_be_read_alone_and_an_unknown_one_is_refused(tmp_path: Path):
    write(tmp_path / "log", whole_run("a", steps=5))
    compact(tmp_path / "log", tmp_path / "parquet")
    (batch,) = read_step_batches(tmp_path / "parquet", ["number", "propensity"])
    assert batch.to_pydict() == {"number": [1, 2, 3, 4, 5], "propensity": [0.7, 0.7, 0.7, 0.7, 0.2]}
    with pytest.raises(LogError, match=r"^A step has no column 'nummer'; it has run_id, "):
        read_step_batches(tmp_path / "parquet", ["nummer"])
    with pytest.raises(LogError, match=r"^There are no compacted runs in .+log; make them with"):
        read_step_batches(tmp_path / "log")


def test_the_same_log_gives_the_same_files_and_is_not_written_twice(tmp_path: Path):
    write(tmp_path / "log", [one for n in range(7) for one in whole_run(f"{n}")])
    compact(tmp_path / "log", tmp_path / "1", runs_a_part=3)
    compact(tmp_path / "log", tmp_path / "2", runs_a_part=3)
    assert files(tmp_path / "1") == files(tmp_path / "2") and len(files(tmp_path / "1")) == 7
    before = {one: one.stat().st_mtime_ns for one in (tmp_path / "1").iterdir()}
    report = LogReport()
    manifest = compact(tmp_path / "log", tmp_path / "1", report=report, runs_a_part=3)
    assert {one: one.stat().st_mtime_ns for one in (tmp_path / "1").iterdir()} == before
    assert (manifest["runs"], manifest["steps"], report.runs) == (7, 14, 7)
    assert [run.run_id for run in read_runs(tmp_path / "1")] == [f"{n}" for n in range(7)]


def test_a_log_that_has_grown_takes_the_place_of_the_old_one(tmp_path: Path):
    write(tmp_path / "log", whole_run("a"))
    old = compact(tmp_path / "log", tmp_path / "parquet")
    assert fingerprint_of(tmp_path / "parquet") == old["fingerprint"] == fingerprint_of(tmp_path / "log")
    write(tmp_path / "log", whole_run("b"))
    new = compact(tmp_path / "log", tmp_path / "parquet")
    assert new["fingerprint"] != old["fingerprint"] and len(runs_in(tmp_path / "parquet")) == 2
    assert len(files(tmp_path / "parquet")) == 3, "the old parts are gone"


def test_a_compaction_that_is_killed_leaves_what_was_there_and_goes_on(tmp_path: Path):
    log, folder = tmp_path / "log", tmp_path / "parquet"
    write(log, [one for n in range(30) for one in whole_run(f"{n}")])
    compact(log, folder, runs_a_part=10)
    write(log, [one for n in range(30) for one in whole_run(f"new{n}")])
    code = """
        import os, sys
        from pathlib import Path
        from router_graph.trajectories.compact import compact
        def stop(done, total):
            if done >= 30:
                os._exit(9)
        compact(Path(sys.argv[1]), Path(sys.argv[2]), runs_a_part=10, on_progress=stop)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(log), str(folder)]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": str(TESTS)}, check=False).returncode == 9
    assert len(runs_in(folder)) == 30, "readers see the old runs"
    done = {one: one.stat().st_mtime_ns for one in folder.glob("*.parquet")}
    assert len(done) == 2 * (3 + 3)
    told = []
    manifest = compact(log, folder, runs_a_part=10, on_progress=lambda *counts: told.append(counts))
    assert told[-1] == (60, 60) and manifest["runs"] == 60
    kept = [one for one, at in done.items() if one.exists() and one.stat().st_mtime_ns == at]
    assert len(kept) == 2 * 3, "what was whole is kept"
    compact(log, tmp_path / "at once", runs_a_part=10)
    assert files(folder) == files(tmp_path / "at once")


def test_parts_without_a_manifest_are_not_taken_for_a_log(tmp_path: Path):
    write(tmp_path / "log", whole_run("a"))
    compact(tmp_path / "log", tmp_path / "parquet")
    (tmp_path / "parquet" / "manifest.json").unlink()
    with pytest.raises(
        LogError, match=r"^The runs in .+ were not compacted to their end; run `polyroute runs compact`"
    ):
        read_runs(tmp_path / "parquet")


def no_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"name": "an app"}')


def newer(folder: Path) -> None:
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_bytes(orjson.dumps({**manifest, "format": 9}))


def missing(folder: Path) -> None:
    next(folder.glob("runs-*")).unlink()


def broken(folder: Path) -> None:
    next(folder.glob("steps-*")).write_bytes(b"PAR1 no PAR1")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (no_manifest, ".+ is no manifest of compacted runs; give a folder that `polyroute runs compact` made."),
        (newer, ".+ has format 9, and this version knows up to 1; update polyroute."),
        (missing, "runs-.+ is missing in .+; compact the runs again."),
        (broken, ".+steps-.+ cannot be read .+; compact the runs again."),
    ],
)
def test_a_spoilt_folder_is_one_sentence(tmp_path: Path, spoil, sentence: str):
    write(tmp_path / "log", whole_run("a"))
    compact(tmp_path / "log", tmp_path / "parquet")
    spoil(tmp_path / "parquet")
    with pytest.raises(LogError, match=f"^{sentence}$"):
        list(read_runs(tmp_path / "parquet"))


def test_a_folder_that_cannot_be_written_or_is_somebody_elses_is_one_sentence(tmp_path: Path):
    write(tmp_path / "log", whole_run("a"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(LogError, match=r"^The runs cannot be written to .+ \(.+\)\.$"):
        compact(tmp_path / "log", tmp_path / "file")
    with pytest.raises(LogError, match=r"are compacted into another folder; name one\.$"):
        compact(tmp_path / "log", tmp_path / "log" / ".." / "log")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "manifest.json").write_text("[]")
    with pytest.raises(LogError, match="is no manifest of compacted runs"):
        compact(tmp_path / "log", tmp_path / "theirs")
    assert (tmp_path / "theirs" / "manifest.json").read_text() == "[]"


def test_tokens_that_fit_no_column_are_refused_with_their_run(tmp_path: Path):
    call = policy_call(prompt_ids=[2**31])
    write(tmp_path / "log", [began("a"), decided("a", 1, 1, call=call), ended("a", 2)])
    with pytest.raises(LogError, match=r"^A step of the runs a to a does not fit its columns \(.+\)"):
        compact(tmp_path / "log", tmp_path / "parquet")
    assert not list((tmp_path / "parquet").iterdir())


def test_without_pyarrow_the_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "log", whole_run("a"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'polyroute\[train\]'"):
        compact(tmp_path / "log", tmp_path / "parquet")


def test_a_run_can_be_read_while_it_is_written_by_somebody(tmp_path: Path):
    lines: Iterator = iter(whole_run("a", steps=3))
    write(tmp_path / "log", [next(lines), next(lines)])
    compact(tmp_path / "log", tmp_path / "parquet")
    assert runs_in(tmp_path / "parquet")[0].status == "open"
    write(tmp_path / "log", lines)
    compact(tmp_path / "log", tmp_path / "parquet")
    (run,) = runs_in(tmp_path / "parquet")
    assert run.status == "ended" and len(run.steps) == 3
    assert (read_manifest(tmp_path / "parquet") or {})["shards"] == 2
