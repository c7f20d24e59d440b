"""What people say of steps: from lines beside a log to the pairs and rows that the trainers take."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from router_graph.cli import app
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.labels import LabelWriter, read_labels
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.shards import shards_in
from router_graph.trajectories.views import view_at
from support.handbook import STEERS
from support.viewer_server import ViewerServer, until
from support.world_logs import base_model, world_log

BRIEF = ("policy.protocol=brief", "split.held_out=0")


def train(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["train", *map(str, args)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and not STEERS.search(result.output)
    return result


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A log, and a model that can write in it."""
    log, base = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("base")
    world_log(log, questions=20)
    return log, base_model(base, list(read_runs(log)))


@pytest.fixture
def log(house: tuple[Path, Path], tmp_path: Path) -> Path:
    """The same log, without labels."""
    folder = tmp_path / "runs"
    folder.mkdir()
    for shard in shards_in(house[0]):
        (folder / shard.name).symlink_to(shard)
    return folder


def better_than_done(run: RunRecord, number: int) -> dict[str, str]:
    """A knowledge base that was not asked there."""
    done = run.steps[number - 1].step["actions"][0].get("kb")
    name = next(one for one in view_at(run, number).names("kb") if one != done)
    return {"kind": "kb", "kb": name, "query": run.question}


def built(house: tuple[Path, Path], log: Path, *more: object) -> dict[str, object]:
    made = train("build", log, "--model", house[1], "--labels", log / "labels", "--json", *BRIEF, *more)
    return json.loads(made.stdout)


def told(log: Path, report: LogReport | None = None) -> list[tuple[int, str, str]]:
    return [(one["step"], one["by"], one["verdict"]) for one in read_labels(log, report=report)]


def test_the_last_word_of_a_person_counts_and_can_be_taken_back(tmp_path: Path):
    writer, other = LabelWriter(tmp_path), LabelWriter(tmp_path)
    writer.give("r", 1, "good", by="ann")
    other.give("r", 1, "bad", by="bea", note="why?")
    assert told(tmp_path) == [(1, "ann", "good"), (1, "bea", "bad")]
    other.give("r", 1, "bad", by="ann")
    assert writer.give("r", 1, None, by="bea")["verdict"] is None
    assert told(tmp_path) == [(1, "ann", "bad")]
    assert len(list((tmp_path / "labels").iterdir())) == 2


def test_torn_lines_are_skipped_and_counted(tmp_path: Path):
    LabelWriter(tmp_path).give("r", 1, "good", by="ann")
    (path,) = (tmp_path / "labels").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"v":1,"run":"r","st\n[1]\n{}\n' + whole.replace(b'"step":1', b'"step":2') + whole[:-9])
    report = LogReport()
    assert told(tmp_path, report) == [(1, "ann", "good"), (2, "ann", "good")] and report.damaged == 4


def test_secrets_are_taken_out_of_what_people_write(tmp_path: Path):
    key = "sk-" + "a1" * 20
    LabelWriter(tmp_path).give("r", 1, "better", better={"kind": "answer", "text": key}, note=f"use {key}")
    assert not any(key in one.read_text() for one in (tmp_path / "labels").iterdir())


def test_many_threads_write_whole_lines(tmp_path: Path):
    writer = LabelWriter(tmp_path)
    threads = [
        threading.Thread(target=lambda n=n: [writer.give(f"r{n}", step, "good") for step in range(1, 51)])
        for n in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    report = LogReport()
    assert len(read_labels(tmp_path, report=report)) == 200 and report.damaged == 0


def test_a_log_does_not_read_its_labels(log: Path):
    before = len(list(read_runs(log)))
    LabelWriter(log).give("r", 1, "good")
    assert len(list(read_runs(log))) == before


def test_a_better_action_becomes_a_pair_for_dpo(house: tuple[Path, Path], log: Path):
    run = next(read_runs(log))
    better = better_than_done(run, 1)
    LabelWriter(log).give(run.run_id, 1, "better", better=better)
    told = built(house, log, "objective.method=dpo")
    assert told["labels"] == {"better": 1} and told["trained"] == 1 and told["reward"] == "labels"
    chosen, rejected = told["shown"]
    assert (chosen["title"], rejected["title"]) == ("chosen", "rejected")
    said = {one["title"]: "".join(s["text"] for s in one["spans"] if s["trained"]) for one in (chosen, rejected)}
    done = run.steps[0].step["actions"][0]
    assert better["kb"] in said["chosen"] and done.get("kb", "answer") in said["rejected"]
    prompts = {"".join(s["text"] for s in one["spans"] if not s["trained"]) for one in (chosen, rejected)}
    assert len(prompts) == 1, "both are replies to one state"
    assert built(house, log, "objective.method=awr")["trained"] == 2
    shown = train("build", log, "--model", house[1], "--labels", log, *BRIEF).stdout
    assert re.search(r"labels +1 better; 0 of questions that are held out", shown)


def test_a_label_given_in_the_viewer_is_a_row_to_train_on(house: tuple[Path, Path], log: Path, tmp_path: Path):
    run = next(read_runs(log))
    better = better_than_done(run, 1)
    told = {"kind": "kb", "target": f"kb:{better['kb']}", "query": better["query"]}
    with ViewerServer(log, cache=tmp_path / "index.sqlite") as server:
        until(lambda: server.client.get(f"runs/{run.run_id}").is_success)
        server.post(f"runs/{run.run_id}/steps/1/label", verdict="better", better=told)
    made = built(house, log, "objective.method=dpo")
    chosen = next(one for one in made["shown"] if one["title"] == "chosen")
    assert better["kb"] in "".join(one["text"] for one in chosen["spans"] if one["trained"])


def test_good_and_bad_are_kept_and_dropped(house: tuple[Path, Path], log: Path):
    runs, writer = list(read_runs(log)), LabelWriter(log)
    for run, verdict in zip(runs[:6], ["good", "bad", "good", "bad", "good", "bad"], strict=True):
        writer.give(run.run_id, 1, verdict)
    kto = built(house, log, "objective.method=kto")
    assert {one["title"] for one in kto["shown"]} == {"good", "bad"} and kto["trained"] == 6
    rft = built(house, log, "objective.method=rft", "objective.dedupe=false")
    assert rft["trained"] == 3 and rft["left_out"] == {"with a reward of 0 or less": 3}


def test_with_scores_what_people_said_stands_in_place_of_the_score(house: tuple[Path, Path], log: Path, tmp_path: Path):
    scores = tmp_path / "scores.jsonl"
    train("reward", log, "--reward", "router_r1", "--out", scores)
    run = next(read_runs(log))
    LabelWriter(log).give(run.run_id, 1, "better", better=better_than_done(run, 1))
    alone = json.loads(train("build", log, "--model", house[1], "--scores", scores, "--json", *BRIEF).stdout)
    out = tmp_path / "samples.jsonl"
    both = built(house, log, "--scores", scores, "--out", out)
    assert both["decisions"] == alone["decisions"] + 1
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one["reward"] for one in rows if (one["run_id"], one["number"]) == (run.run_id, 1)] == [-1, 1]
    assert both["reward"].startswith("labels+router_r1-")


def test_what_cannot_be_used_is_counted(house: tuple[Path, Path], log: Path):
    first, second, third = list(read_runs(log))[:3]
    writer = LabelWriter(log)
    writer.give(first.run_id, 1, "good", by="ann")
    writer.give(first.run_id, 1, "bad", by="bea")
    writer.give(second.run_id, 1, "better", better={"kind": "kb", "kb": "nowhere", "query": "x"})
    writer.give(third.run_id, 1, "good")
    told = built(house, log, "objective.method=rft")
    assert told["left_out"] == {
        "that people judge differently": 1,
        "better actions that are not legal": 1,
        "with a reward of 0 or less": 1,
    }
    assert told["labels"] == {"good": 2, "bad": 1, "better": 1}


def test_labels_of_held_out_questions_are_not_trained_on(house: tuple[Path, Path], log: Path):
    writer = LabelWriter(log)
    for run in read_runs(log):
        writer.give(run.run_id, 1, "good")
    told = built(house, log, "split.held_out=0.5")
    assert told["labels_held_out"] > 0 and told["labels"]["good"] + told["labels_held_out"] == 40


def test_a_policy_is_trained_on_labels_alone(house: tuple[Path, Path], log: Path, tmp_path: Path):
    for run in list(read_runs(log))[:4]:
        LabelWriter(log).give(run.run_id, 1, "better", better=better_than_done(run, 1))
    out = tmp_path / "policy"
    few = ("trl.max_steps=2", "trl.use_cpu=true", "trl.learning_rate=1e-3")
    train("dpo", log, "--model", house[1], "--labels", log / "labels", "--out", out, *BRIEF, *few)
    assert "| Reward | labels |" in (out / "MODEL_CARD.md").read_text()


def test_without_labels_the_command_says_how_to_give_some(house: tuple[Path, Path], log: Path):
    result = train("build", log, "--model", house[1], "--labels", log / "labels", code=1)
    assert "There are no labels in" in result.stderr and "polyroute runs view" in result.stderr


def test_labels_of_other_runs_leave_nothing_to_train_on(house: tuple[Path, Path], log: Path):
    LabelWriter(log).give("another", 1, "good")
    result = train("build", log, "--model", house[1], "--labels", log, code=1)
    assert "no sample to train on" in result.stderr
