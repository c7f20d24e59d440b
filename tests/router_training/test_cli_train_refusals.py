"""Bad input at the command line: one sentence each, before anything is computed. More stand in test_cli_train."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from router_graph.cli import app
from router_graph.trajectories.reader import read_lines
from router_graph.trajectories.writer import RunWriter
from support.run_logs import whole_run, write
from support.world_logs import base_model, world_log

FREE = ("--set", "weights.documents=0", "--set", "weights.stop=0")
METHODS = ("rft", "awr", "dpo", "kto", "offline-grpo")


def complaint(*args: object) -> str:
    """The one sentence that a bad command ends with."""
    result = CliRunner().invoke(app, ["train", *map(str, args), "--dry-run"])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    *notes, sentence = result.stderr.strip().splitlines()
    assert not any(one.startswith("polyroute: ") for one in notes)
    return sentence.removeprefix("polyroute: ")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    base_model(folder / "base", world_log(folder / "log", questions=40, times=2))
    made = CliRunner().invoke(app, ["train", "reward", str(folder / "log"), "--reward", "router_r1"])
    assert made.exit_code == 0
    return folder


def trained_on(house: Path, *, model: str = "base") -> tuple[object, ...]:
    return "--model", house / model, "policy.protocol=brief"


def scored(house: Path, tmp_path: Path, total: float) -> Path:
    """The scores, all of this total."""
    (path,) = (house / "log" / "rewards").iterdir()
    rows = [json.loads(one) for one in path.read_text().splitlines()]
    told = [{**one, "total": total} if "total" in one else one for one in rows]
    (tmp_path / "scores.jsonl").write_text("\n".join(map(json.dumps, told)))
    return tmp_path / "scores.jsonl"


@pytest.mark.parametrize("method", METHODS)
def test_a_log_of_another_schema(house: Path, tmp_path: Path, method: str):
    write(tmp_path / "log", [{**one, "v": 99} for one in whole_run()])
    given = (tmp_path / "log", *trained_on(house), "--scores", scored(house, tmp_path, 0.5))
    assert "has schema 99, and this version knows up to 1; update polyroute" in complaint(method, *given)
    assert "has schema 99" in complaint("step-grpo", *given[:4])


@pytest.mark.parametrize(
    ("method", "total", "says"),
    [
        ("rft", -0.5, "has a reward of more than 0 (the best has -0.5); lower `above`"),
        ("awr", 0.5, "No state has two different rewards"),
        ("offline-grpo", 0.5, "No state has two different rewards"),
        ("dpo", 0.5, "do the rewards of two replies differ by 0.1"),
        ("kto", 0.5, "have a reward of more than 0; KTO needs good and bad ones"),
        ("kto", -0.5, "None of"),
    ],
)
def test_scores_that_are_all_the_same(house: Path, tmp_path: Path, method: str, total: float, says: str):
    given = (house / "log", *trained_on(house), "--scores", scored(house, tmp_path, total))
    assert says in complaint(method, *given)


def test_a_group_of_one(house: Path, tmp_path: Path):
    assert "samples is 1; it must be" in complaint("step-grpo", house / "log", *trained_on(house), "samples=1")


def test_a_state_that_the_model_cannot_take(house: Path):
    shutil.copytree(house / "base", house / "short", dirs_exist_ok=True)
    config = json.loads((house / "short" / "config.json").read_text())
    (house / "short" / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 96}))
    given = ("step-grpo", house / "log", *trained_on(house, model="short"), *FREE)
    said = complaint(*given, "longest_reply=90")
    assert "leave no room for a reply of 90 tokens in the 96 that the model takes" in said
    assert " states longer than 2 tokens, " in complaint(*given, "most_tokens=2")


def test_a_split_that_leaks_a_question_by_its_id(house: Path, tmp_path: Path):
    with RunWriter(tmp_path / "log", sync="never") as writer:
        for one in read_lines(house / "log"):
            told = {"metadata": {**one["metadata"], "question_id": "q7"}} if one["kind"] == "began" else {}
            assert writer.write({**one, **told})  # type: ignore[typeddict-item]
    shutil.copytree(house / "log" / "rewards", tmp_path / "log" / "rewards")
    says = "have the question_id of a run to train on that asks something else, such as 'q7'"
    for method in (*METHODS, "sft"):
        assert says in complaint(method, tmp_path / "log", *trained_on(house))
    assert says in complaint("step-grpo", tmp_path / "log", *trained_on(house), *FREE)
