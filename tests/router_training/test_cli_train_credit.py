"""Credit by step, by episode or by both is a setting of every method that learns from scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from router_graph.cli import app
from router_graph.trajectories.reader import read_runs
from router_training.credit.assign import By, credit
from router_training.data.splits import split
from router_training.rewards.saved import load
from support.world_logs import base_model, world_log

FREE = ("--set", "weights.documents=0", "--set", "weights.stop=0")


def run(*args: object, code: int = 0) -> Any:
    told = CliRunner().invoke(app, ["train", *map(str, args)])
    assert told.exit_code == code, told.output
    return json.loads(told.stdout) if code == 0 else told.stderr.strip()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with scores of its runs and of their steps, and a model."""
    folder = tmp_path_factory.mktemp("credit")
    runs = world_log(folder / "log", questions=25, times=4)
    base_model(folder / "base", runs)
    run("reward", folder / "log", "--reward", "router_r1", "--json")
    run("reward", folder / "log", "--reward", "verifiable", *FREE, "--json")
    return folder


def samples(house: Path, *more: object) -> dict[tuple[str, int], dict[str, Any]]:
    out = house / "samples.jsonl"
    run("build", house / "log", "--model", house / "base", "--out", out, "--json", "policy.protocol=brief", *more)
    rows = [json.loads(one) for one in out.read_text().splitlines()]
    return {(one["run_id"], one["number"]): one for one in rows}


def expected(house: Path, by: By, rewards: Sequence[str], among: Any, **settings: Any) -> Any:
    runs, _ = split(list(read_runs(house / "log")))
    scores = [one for name in rewards for path in (house / "log" / "rewards").glob(f"{name}-*") for one in load(path)]
    return credit(runs, scores, by, among=among, **settings)


CASES = [
    ("step", ("verifiable",), ("reward.version=verifiable",)),
    ("episode", ("router_r1",), ("reward.version=router_r1",)),
    ("mixed", ("verifiable", "router_r1"), ("reward.whole=router_r1", "credit.weight=0.5")),
]


@pytest.mark.parametrize(("by", "rewards", "given"), CASES)
def test_samples_have_the_advantages_of_credit(house: Path, by: By, rewards: Sequence[str], given: Sequence[str]):
    found = samples(house, f"credit.by={by}", *given)
    told = expected(house, by, rewards, found, **({"weight": 0.5} if by == "mixed" else {}))
    assert len(found) == len(told.steps) > 50 and told.advantages.any()
    for place, advantage, worth in zip(told.steps, told.advantages, told.worth, strict=True):
        assert (found[place]["advantage"], found[place]["reward"]) == (advantage, worth)


def test_every_step_of_an_episode_has_its_advantage_and_a_step_alone_has_one_of_its_own(house: Path):
    by_step = samples(house, "reward.version=verifiable")
    by_run = samples(house, "reward.version=router_r1", "credit.by=episode")
    of_run: dict[str, set[float]] = {}
    for (run_id, _), one in by_run.items():
        of_run.setdefault(run_id, set()).add(one["advantage"])
    assert all(len(values) == 1 for values in of_run.values()) and len({v for s in of_run.values() for v in s}) > 10
    own = {run_id: {by_step[place]["advantage"] for place in by_step if place[0] == run_id} for run_id in of_run}
    assert any(len(values) > 1 for values in own.values())


def test_parts_of_steps_can_be_made_relative_each_on_its_own(house: Path):
    parts = {"cost": 1.0, "answer": 1.0}
    found = samples(house, "reward.version=verifiable", "credit.parts={cost: 1.0, answer: 1.0}")
    told = expected(house, "step", ("verifiable",), found, parts=parts)
    assert {place: found[place]["advantage"] for place in told.steps} == dict(
        zip(told.steps, told.advantages, strict=True)
    )


@pytest.mark.parametrize("method", ["rft", "awr", "dpo", "kto"])
def test_what_a_method_takes_depends_on_the_credit(house: Path, method: str):
    shared = ("--model", house / "base", "--dry-run", "--json", "policy.protocol=brief")
    told = {by: run(method, house / "log", *shared, f"credit.by={by}", *given) for by, _, given in CASES}
    facts = {by: (one["trained"], one["trained_tokens"], str(one["shown"])) for by, one in told.items()}
    assert len(set(facts.values())) == 3 and all(one["trained"] for one in told.values())
    assert told["mixed"]["decisions"] == told["episode"]["decisions"] == told["step"]["decisions"]


def test_credit_that_needs_other_scores_says_which(house: Path):
    shared = ("awr", house / "log", "--model", house / "base", "--dry-run", "policy.protocol=brief")
    assert "needs two rewards; name the one of whole runs" in run(*shared, "credit.by=mixed", code=1)
    steps = ("reward.version=verifiable", "credit.by=episode")
    assert "Credit by episode needs scores of whole runs, and these runs have none" in run(*shared, *steps, code=1)
    assert "has no scores of version 'r1'" in run(*shared, "credit.by=mixed", "reward.whole=r1", code=1)
    assert "by is 'epsiode'; it must be" in run(*shared, "reward.version=verifiable", "credit.by=epsiode", code=1)
