"""`polyroute runs`: what it shows of logs, what it says to bad ones, and that nothing logged steers the terminal."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from router_graph import cli_runs
from router_graph.cli import Sentences
from router_graph.trajectories.export import FORMS
from router_graph.trajectories.shards import encode
from support.handbook import HOSTILE, STEERS
from support.run_logs import (
    SAY,
    began,
    decided,
    ended,
    line,
    observed,
    policy_call,
    record_real_runs,
    whole_run,
    write,
)

app = typer.Typer(cls=Sentences, pretty_exceptions_enable=False)
app.add_typer(cli_runs.app, name="runs")


def run(command: str, *args: object, runs: Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["runs", command, *map(str, args), "-r", str(runs)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and not STEERS.search(result.output)
    return result


def complaint(result: Result) -> str:
    """The one sentence that a bad command ends with."""
    (sentence,) = result.stderr.strip().splitlines()
    return sentence.removeprefix("polyroute: ")


def damaged(folder: Path) -> Path:
    path = write(folder, [*whole_run("a"), began("b")])
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"Dune", b"Dane")
    path.write_bytes(b"".join(lines)[:-20])
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A run that ended, one that is open, one that failed, one of another graph, and two that a real graph made."""
    folder = tmp_path / "log"
    write(folder, [*whole_run("aa11", 10, steps=3), *whole_run("aa12", 20)[:3]])
    write(folder, [began("bb", 30), line("failed", "bb", 31, error="ValueError: no")])
    write(folder, [line("called", "f", 40, call={**policy_call("Hi"), "call_id": "c9", "tokens": None})])
    record_real_runs(folder, "One?", "Two?")
    return folder


def test_list_has_the_newest_runs_first_and_says_how_many_more_there_are(log: Path):
    result = run("list", "--limit", 3, runs=log)
    rows = result.stdout.splitlines()
    assert rows[0].split()[:2] == ["run", "when"] and len(rows) == 4
    assert rows[1].rstrip().endswith("Two?") and rows[2].rstrip().endswith("One?") and rows[3].startswith("f ")
    assert "3 older runs are not shown" in result.stderr


def test_list_shows_only_what_was_asked_for(log: Path):
    def ids(*args: object) -> list[str]:
        return [one["run_id"] for one in json.loads(run("list", "--json", *args, runs=log).stdout)]

    assert ids("--status", "open") == ["f", "aa12"]
    assert ids("--policy", "tiny") == ["aa12", "aa11"]
    assert ids("--question-id", "q1", "--status", "ended") == ["aa11"]
    assert len(ids("--question-id", "q7")) == 2 and len(ids()) == 6


def test_show_tells_each_step_with_chances_prices_and_reasons(log: Path):
    told = run("show", "aa11", runs=log).stdout
    for expected in (
        "Who wrote Dune?",
        "Step 1, by tiny 1",
        "70.0%",
        "about $0.010",
        "too dear",
        "→ kb:books: Who wrote Dune?",
        "← 1 document",
        "propensity 0.7;",
        "→ answer: Frank Herbert [books:1]",
        "$0.030, 40 tokens",
    ):
        assert expected in told
    assert "Step 3" in told and told.rstrip().endswith("Frank Herbert")


def test_show_finds_a_run_by_the_beginning_of_its_id_or_the_last(log: Path):
    assert json.loads(run("show", "bb", "--json", runs=log).stdout)["error"] == "ValueError: no"
    assert "called tiny in think" in run("show", "f", runs=log).stdout
    assert json.loads(run("show", "last", "--json", runs=log).stdout)["question"] == "Two?"
    several = complaint(run("show", "aa", runs=log, code=1))
    assert several == "Several runs begin with 'aa', as aa11 and aa12; give more of the id."
    assert complaint(run("show", "zz", runs=log, code=1)).startswith("There is no run 'zz' in ")


def test_stats_count_policies_and_the_support_of_each_option(log: Path):
    facts = json.loads(run("stats", "--json", runs=log).stdout)
    assert (facts["runs"], facts["steps"], facts["foreign"], facts["questions"]) == (6, 10, 1, 3)
    assert facts["statuses"] == {"ended": 3, "open": 2, "failed": 1} and facts["stop_reasons"] == {"answered": 3}
    script, tiny = facts["policies"]
    assert (tiny["steps"], tiny["with_propensity"], tiny["with_chance"], tiny["with_tokens"]) == (4, 4, 4, 3)
    assert (script["steps"], script["with_propensity"], script["with_chance"]) == (6, 6, 0)
    assert tiny["actions"] == {"kb:books": 3, "answer": 1}
    books = facts["options"]["kb:books"]
    assert (books["offered"], books["chosen"], books["mean_probability"]) == (10, 7, pytest.approx(0.7))
    assert "llm:fast" not in facts["options"], "it was masked throughout"
    told = run("stats", runs=log).stdout
    assert "kb:books" in told and "70.0%" in told and "ended 3, open 2, failed 1" in told


def test_check_lists_what_is_not_whole_and_what_cannot_be_learned(log: Path):
    told = run("check", runs=log).stdout
    for expected in ("runs did not end: 2", "runs failed: 1", "of another make: 1", "decided with certainty: 6"):
        assert expected in told
    assert "bb: ValueError: no" in told


def test_check_finds_damage_with_its_place_and_ends_with_1(tmp_path: Path):
    path = damaged(tmp_path)
    told = run("check", runs=tmp_path, code=1).stdout
    assert f"line 2 of {path}: its checksum is wrong" in told and f"line 6 of {path}: it is torn" in told
    assert "damage: observations have no step: 1" in told
    assert "2 lines were skipped; `polyroute runs check` lists them." in run("list", runs=tmp_path).stderr


def test_check_finds_steps_that_are_missing_tokens_that_cannot_be_and_unknown_propensities(tmp_path: Path):
    wrong = policy_call(logprobs=[0.5, -1.0])
    none = {**policy_call(), "tokens": None}
    lines = [
        decided("a", 1, 1, propensity=None, call=none),
        decided("a", 3, 3, propensity=None, call=wrong),
        decided("a", 4, 4, actions=[SAY]),
    ]
    write(tmp_path, [began("a"), *lines, ended("a", 5)])
    found = {one["what"]: one for one in json.loads(run("check", "--json", runs=tmp_path, code=1).stdout)["findings"]}
    assert found["runs lack steps between others"]["examples"] == ["a: 2"]
    assert found["steps have no propensity"]["count"] == 2
    assert found["calls of the policy have no token ids"]["count"] == 1
    assert found["calls of the policy have log-probs that cannot be"]["examples"] == ["a, step 3"]
    assert found["steps of runs that ended lack an observation"]["count"] == 2


def test_check_of_a_good_log_finds_nothing(tmp_path: Path):
    write(tmp_path, whole_run("a"))
    assert "Nothing is wrong with them." in run("check", runs=tmp_path).stdout


def test_compacted_runs_are_shown_as_the_recorded_ones(log: Path, tmp_path: Path):
    done = run("compact", tmp_path / "parquet", runs=log)
    assert "6" in done.stdout
    for command in (["list", "--json"], ["stats", "--json"], ["show", "aa11"], ["check"]):
        assert run(*command, runs=tmp_path / "parquet").stdout == run(*command, runs=log).stdout
    again = json.loads(run("compact", tmp_path / "parquet", "--json", runs=log).stdout)
    assert (again["runs"], again["steps"]) == (6, 10)


@pytest.mark.parametrize("form", FORMS)
def test_export_writes_each_form_and_says_what_it_left_out(log: Path, tmp_path: Path, form: str):
    said = run("export", tmp_path / "out", "--to", form, runs=log).stderr
    assert f"were written to {tmp_path / 'out'}." in said and (tmp_path / "out").exists()
    assert ("7 steps were left out: the log has no tokens" in said) == (form == "verl")
    again = complaint(run("export", tmp_path / "out", "--to", form, runs=log, code=1))
    assert again == f"{tmp_path / 'out'} is there already; name another, or allow to overwrite it (--overwrite)."
    run("export", tmp_path / "out", "--to", form, "--overwrite", runs=log)


def test_the_forms_of_the_command_are_those_that_there_are():
    assert [one.value for one in cli_runs.Form] == [*FORMS, "html"]


def test_export_takes_only_the_runs_that_were_asked_for(log: Path, tmp_path: Path):
    run("export", tmp_path / "out.csv", "--to", "csv", "--policy", "tiny", "--status", "ended", runs=log)
    with (tmp_path / "out.csv").open(newline="") as file:
        assert {row["run_id"] for row in csv.DictReader(file)} == {"aa11"}


@pytest.mark.parametrize("command", ["list", "stats", "check", "show last", "compact OUT", "export OUT --to csv"])
def test_a_log_that_cannot_be_read_is_one_sentence(tmp_path: Path, command: str):
    logs = {
        "nowhere": "There is no ",
        "empty": "There are no runs in ",
        "newer": "No run can be read: line 1 of ",
        "torn": "No run can be read: line 1 of ",
    }
    for name, data in (("newer", encode({**began("a"), "v": 9})), ("torn", encode(began("a"))[:50])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jsonl").write_bytes(data)
    (tmp_path / "empty").mkdir()
    for name, sentence in logs.items():
        words = [str(tmp_path / "out") if word == "OUT" else word for word in command.split()]
        said = complaint(run(*words, runs=tmp_path / name, code=1))
        assert said.startswith(sentence) and said.endswith(".")
        assert not (tmp_path / "out").exists()


def test_nothing_that_was_logged_steers_the_terminal(tmp_path: Path):
    hit = {"kb": HOSTILE, "doc_id": HOSTILE, "title": HOSTILE, "text": HOSTILE, "score": 1.0, "metadata": {}}
    seen = observed("a", 1, at=1.5)
    seen["observation"] = {**seen["observation"], "text": HOSTILE, "hits": [hit]}
    facts = {"problem": HOSTILE, "policy": HOSTILE, "version": HOSTILE, "protocol": HOSTILE, "replay_id": HOSTILE}
    facts["masked"] = {"llm:fast": HOSTILE}
    asked = {"kind": "kb", "kb": HOSTILE, "query": HOSTILE}
    told = {"question": HOSTILE, "thread": HOSTILE, "metadata": {HOSTILE: HOSTILE}, "software": {HOSTILE: HOSTILE}}
    one = decided("a", 1, 1, actions=[asked, {"kind": "malformed", "problem": HOSTILE}], **facts)
    one["step"]["thought"] = HOSTILE
    call = {**policy_call(HOSTILE), "call_id": "c", "node": HOSTILE, "model": HOSTILE}
    last = ended("a", 3, answer=HOSTILE, citations=[{"kb": HOSTILE, "doc_id": HOSTILE, "title": HOSTILE}])
    lines = [began("a", **told), one, seen, line("called", "a", 2, call=call), last]
    lines += [began(HOSTILE), line("failed", HOSTILE, 1, error=HOSTILE)]
    write(tmp_path / HOSTILE.replace("/", "-")[:60], lines)
    for command in ("list", "show a", "stats", "check", "list --json", "show a --json"):
        run(*command.split(), runs=tmp_path)


def test_a_command_starts_without_heavy_imports(log: Path):
    code = (
        "import sys; from router_graph.cli_runs import app; app(sys.argv[1:], standalone_mode=False);"
        "print([one for one in ('torch', 'litellm', 'chromadb', 'transformers', 'pyarrow') if one in sys.modules])"
    )
    command = [sys.executable, "-c", code, "list", "-r", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ""})
    assert done.stdout.splitlines()[-1] == "[]"
