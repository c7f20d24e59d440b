"""`polyroute train router-r1`: whole runs of a real graph over a real folder of knowledge bases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router_graph.trajectories.reader import read_runs
from support.handbook import ABOUT_THE_SKY, QUESTION, make_shelf, run
from support.world_logs import base_model

ASKED = {"q1": (QUESTION, "30"), "q2": (ABOUT_THE_SKY, "red"), "q3": ("Are taxi rides paid back?", "within a month")}
SMALL = ("updates=2", "samples=2", "groups=2", "longest_reply=6", "trl.use_cpu=true", "policy.max_tokens=6")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A router.yaml, its knowledge bases, a log of it, its questions, and a model that knows its words."""
    folder = tmp_path_factory.mktemp("house")
    make_shelf(folder / "polyroute-kb")
    (folder / "router.yaml").write_text(
        "policy: heuristic\nprotocol: brief\nturn: {max_steps: 1, k: 1, explore: 0.5}\n"
    )
    (folder / "questions.jsonl").write_text(
        "\n".join(
            json.dumps({"id": key, "question": question, "golden_answers": [answer]})
            for key, (question, answer) in ASKED.items()
        )
    )
    (folder / "asked.txt").write_text("\n".join(question for question, _ in ASKED.values()))
    config = ("--config", folder / "router.yaml", "--record", folder / "runs")
    run("ask", "--file", folder / "asked.txt", "--policy", "kb:handbook", *config)
    base_model(folder / "base", list(read_runs(folder / "runs")))
    return folder


def router_r1(house: Path, *more: object, code: int = 0):
    given = ("--model", house / "base", "--questions", house / "questions.jsonl")
    return run(
        "train", "router-r1", house / "runs", *given, "policy.protocol=brief", "split.held_out=0", *more, code=code
    )


def test_a_dry_run_shows_three_episodes_with_what_is_trained_of_them(house: Path):
    told = json.loads(router_r1(house, "--dry-run", "--json", "samples=2", "groups=3").stdout)
    assert (told["questions"], told["episodes_of_an_update"], told["credit"]) == (3, 6, "episode")
    assert told["reward"].startswith("router_r1-") and len(told["shown"]) == 3
    for one in told["shown"]:
        assert [span["trained"] for span in one["spans"]] == [False, True] * (len(one["spans"]) // 2)
        assert len(one["spans"]) >= 4  # it asked, read, and answered
        assert "30 days" not in "".join(span["text"] for span in one["spans"][:2])
    plain = router_r1(house, "--dry-run")
    assert plain.stdout.count("⟦") == plain.stdout.count("⟧") == sum(len(one["spans"]) for one in told["shown"]) // 2
    assert "nothing was trained" in plain.stderr


@pytest.mark.parametrize("credit", ["episode", "mixed"])
def test_a_policy_is_trained_by_how_its_runs_end(house: Path, tmp_path: Path, credit: str):
    free = ("--set-step", "weights.documents=0", "--set-step", "weights.stop=0") if credit == "mixed" else ()
    given = ("--router", house / "router.yaml", "--out", tmp_path / "p", f"credit.by={credit}", *free, *SMALL)
    said = router_r1(house, *given, "--set", "alpha=0.3")
    assert "router-r1" in said.stdout
    card = json.loads((tmp_path / "p" / "policy.json").read_text())
    assert card["learned"]["method"] == "router-r1" and card["learned"]["config"]["credit"]["by"] == credit
    kept = json.loads((tmp_path / "p" / "trained_on.json").read_text())
    assert len(kept["questions"]) == 3 and kept["scores"]["parameters"]["alpha"] == 0.3
    assert ("of_steps" in kept["scores"]) == (credit == "mixed")
    asked = ("--config", house / "router.yaml", "--policy", f"local:{tmp_path / 'p'}", "--json")
    assert json.loads(run("ask", QUESTION, *asked).stdout)["answer"]


def test_the_papers_own_reward_is_an_option(house: Path):
    told = json.loads(router_r1(house, "--reward", "router_r1_paper", "--dry-run", "--json").stdout)
    assert told["reward"].startswith("router_r1_paper_code-")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "as in --out policy"),
        (["--out", "p"], "as in --router router.yaml"),
        (["--reward", "verifiable", "--dry-run"], "--reward verifiable scores steps, and not runs"),
        (["credit.by=mixed", "--dry-run"], "questions have no needed document"),
        (["credit.by=step", "--step-reward", "router_r1", "--dry-run"], "--step-reward router_r1 scores whole runs"),
        (["--set-step", "weights.cost=0", "--dry-run"], "credit is by episode; set credit.by=step or credit.by=mixed"),
        (["--dry-run", "samples=1"], "samples"),
        (["--dry-run", "trl.loss_type=grpo"], "depends on how episodes are cut into rows"),
        (["--dry-run", "most_tokens=3"], "There is no question to run"),
        (["--dry-run", "credits=step"], "did you mean 'credit'?"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_run(house: Path, given: list[str], says: str):
    (sentence,) = router_r1(house, *given, code=1).stderr.strip().splitlines()
    assert says in sentence


def test_a_question_without_a_right_answer_is_named(house: Path):
    given = ("train", "router-r1", house / "runs", "--model", house / "base", "policy.protocol=brief", "--dry-run")
    (sentence,) = run(*given, "split.held_out=0", code=1).stderr.strip().splitlines()
    assert "3 of 3 questions have no right answer" in sentence
