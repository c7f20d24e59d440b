"""`polyroute train step-grpo`: sampled through a real folder of knowledge bases."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from router_graph.trajectories.reader import read_runs
from router_training.collecting import Collecting
from support.handbook import ABOUT_THE_SKY, QUESTION, make_shelf, run
from support.model_server import ModelServer
from support.world_logs import base_model

FREE = ("--set", "weights.documents=0", "--set", "weights.stop=0")
SPLIT = ("split.held_out=0",)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A router.yaml, its knowledge bases, a log of it, its questions, and a model that knows its words."""
    folder = tmp_path_factory.mktemp("house")
    make_shelf(folder / "polyroute-kb")
    (folder / "router.yaml").write_text("policy: heuristic\nprotocol: brief\nturn: {max_steps: 2, k: 1}\n")
    asked = {
        "q1": (QUESTION, "30"),
        "q2": (ABOUT_THE_SKY, "red"),
        "q3": ("Are taxi rides paid back?", "within a month"),
    }
    with (folder / "questions.jsonl").open("w") as file:
        for key, (question, answer) in asked.items():
            file.write(json.dumps({"id": key, "question": question, "golden_answers": [answer]}) + "\n")
    (folder / "asked.txt").write_text("\n".join(question for question, _ in asked.values()))
    config = ("--config", folder / "router.yaml", "--record", folder / "runs")
    run("ask", "--file", folder / "asked.txt", "--policy", "kb:handbook", *config)
    base_model(folder / "base", list(read_runs(folder / "runs")))
    return folder


def step_grpo(house: Path, *more: object, code: int = 0):
    given = ("--model", house / "base", "--questions", house / "questions.jsonl")
    return run("train", "step-grpo", house / "runs", *given, "policy.protocol=brief", *SPLIT, *more, code=code)


def test_a_dry_run_shows_the_states_that_are_sampled_in(house: Path):
    told = json.loads(step_grpo(house, *FREE, "--dry-run", "--json", "samples=2", "groups=2").stdout)
    assert told["states"] >= 3 and told["replies_of_an_update"] == 4 and len(told["shown"]) == 3
    assert "leave" in told["shown"][0] and told["reward"].startswith("verifiable-")
    assert step_grpo(house, *FREE, "--dry-run").stdout.count("⟦…⟧") == 3


def test_a_policy_is_trained_by_what_its_routes_really_bring(house: Path, tmp_path: Path):
    small = ("updates=2", "samples=2", "groups=2", "longest_reply=12", "trl.use_cpu=true", "refresh_every=1")
    step_grpo(house, *FREE, "--router", house / "router.yaml", "--out", tmp_path / "p", *small, "policy.max_tokens=12")
    card = json.loads((tmp_path / "p" / "policy.json").read_text())
    assert card["learned"]["method"] == "step-grpo" and card["protocol"] == "brief"
    assert len(json.loads((tmp_path / "p" / "trained_on.json").read_text())["questions"]) == 3
    again = Collecting(house / "router.yaml", list(read_runs(house / "runs")), most=2)(tmp_path / "p", 1)
    assert len(again) == 2 and all(one.status == "ended" for one in again)
    assert {one.steps[0].step["decision"]["policy"] for one in again} == {"trained"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--out", "p"], "--router router.yaml"),
        (["--reward", "router_r1", "--dry-run"], "scores whole runs, and step-grpo compares steps"),
        (["--reward", "router_r1", *FREE, "--dry-run"], "weights.documents=0: 'weights' is no known key"),
        (["--dry-run"], "have no needed document"),
        ([*FREE, "--dry-run", "update=3"], "update=3: 'update' is no known key; did you mean 'updates'?"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_sampled(house: Path, given: list[str], says: str):
    (sentence,) = step_grpo(house, *given, code=1).stderr.strip().splitlines()
    assert says in sentence


def test_a_report_runs_the_policy_and_its_rivals_through_the_graph(house: Path, tmp_path: Path):
    small = ("updates=1", "samples=2", "groups=1", "longest_reply=8", "trl.use_cpu=true", "policy.max_tokens=8")
    step_grpo(house, *FREE, "--router", house / "router.yaml", "--out", tmp_path / "p", *small)
    scores = tmp_path / "scores.jsonl"
    given = ("--questions", house / "questions.jsonl")
    run("train", "reward", house / "runs", "--reward", "router_r1", *given, "--out", scores)
    report = ("train", "report", tmp_path / "p", house / "runs", *given, "--scores", scores)
    seen = run(*report, "--router", house / "router.yaml", code=1).stderr
    assert "was trained on all 3 questions; give others" in seen
    (tmp_path / "p" / "trained_on.json").unlink()
    told = run(*report, "--router", house / "router.yaml", "--json")
    assert "There is no handbook to compare with" in told.stderr
    plain = json.loads(told.stdout)
    assert plain["verdict"] == "keep the handbook" and plain["ran"]["quality"]["heuristic"]["value"] > 0
    assert "run on 3 held-out questions, it is" in plain["reason"]


@pytest.mark.skipif(find_spec("gepa") is None, reason="the extra `reflect` is not installed")
def test_words_that_bring_nothing_are_shown_and_dropped(house: Path, tmp_path: Path):
    make_shelf(tmp_path / "polyroute-kb")
    names = ("leave", "taxi", "travel", "expenses", "sky", "colour", "month", "year")
    asked = [{"id": one, "question": f"What of {one}?", "golden_answers": ["30"]} for one in names]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, asked)))
    with ModelServer() as server:
        card = {"name": "writer", "model": "openai/good-n5", "api_base": server.url, "price": {"input": 1, "output": 1}}
        (tmp_path / "pool.yaml").write_text(json.dumps({"models": [card]}))
        (tmp_path / "router.yaml").write_text("policy: gate\nturn: {max_steps: 2, k: 1}\n")
        given = ("train", "reflect", tmp_path / "q.jsonl", "--router", tmp_path / "router.yaml")
        told = run(*given, "--writer", "writer", "--most-runs", 20, "--out", tmp_path / "texts.json", "--write")
        assert "name a model of the router's pool" in run(*given, code=1).stderr
        assert "--held-out is 1" in run(*given, "--held-out", 1, code=1).stderr
    assert "the texts stay as they are" in told.stdout.lower() and not (tmp_path / "texts.json").exists()
    assert (tmp_path / "router.yaml").read_text() == "policy: gate\nturn: {max_steps: 2, k: 1}\n"
    assert server.meter
