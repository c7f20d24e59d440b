"""`polyroute train handbook`, `ope` and `report`: what is learned without weights, and what is called better."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from router_graph.cli import app
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.trajectories.reader import read_runs
from router_training.errors import DataError
from router_training.estimating import Estimated, estimated
from router_training.ope.bandit import Logged
from router_training.ope.estimate import CannotTell
from router_training.ope.report import report
from router_training.rewards.saved import load
from router_training.running import Asked, Comparison, Ran, compared, ran, read_questions, unseen_questions
from router_training.verdict import verdict
from router_training.world.poor import Poor, action_to
from router_training.world.questions import balanced
from router_training.world.world import World
from support.handbook import STEERS
from support.world_logs import PRICES, base_model, world_log


def train(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["train", *map(str, args)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and not STEERS.search(result.output)
    return result


def complaint(*args: object) -> str:
    return train(*args, code=1).stderr.strip().splitlines()[-1].removeprefix("polyroute: ")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    world_log(folder, questions=100)
    return folder


@pytest.fixture(scope="module")
def scores(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scores") / "scores.jsonl"
    train("reward", log, "--reward", "router_r1", "--out", path)
    return path


@pytest.fixture(scope="module")
def policy(log: Path, scores: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learned a little: how to write, and not whom to ask."""
    folder = tmp_path_factory.mktemp("trained")
    base = base_model(folder / "base", list(read_runs(log)))
    settings = ("policy.protocol=brief", "objective.above=0.3", "split.held_out=0.3", "trl.use_cpu=true")
    more = ("trl.learning_rate=5e-3", "trl.max_steps=20")
    train("rft", log, "--model", base, "--scores", scores, "--out", folder / "policy", *settings, *more)
    return folder / "policy"


@pytest.mark.parametrize("name", ["handbook", "knn", "gate"])
def test_a_policy_without_weights_is_learned_and_judged_by_its_file(log: Path, scores: Path, tmp_path: Path, name: str):
    file = tmp_path / f"{name}.json"
    told = json.loads(train(name, log, "--out", file, "--json").stdout)
    assert told["policy"] == name and told["runs"] > 50
    shown = train(name, log, "--out", file).stdout
    assert shown.startswith("policy ") and "marks" not in shown  # of each question: for the file alone
    if name != "gate":  # in this world a gate's first search is an option like the others
        judged = train("ope", log, "--policy", f"{name}:{file}", "--scores", scores, "--json")
        assert json.loads(judged.stdout)["candidate"] == f"{name}:{file}"


def test_a_policy_without_weights_needs_right_answers_and_enough_runs(log: Path, tmp_path: Path):
    world_log(tmp_path / "few", questions=2, times=1)
    assert "too little to learn from" in complaint("handbook", tmp_path / "few", "--out", tmp_path / "h.json")
    assert "scored by 'em' or 'f1'" in complaint("knn", log, "--metric", "bleu", "--out", tmp_path / "k.json")
    assert not list(tmp_path.glob("*.json"))


def test_what_the_log_has_never_seen_done_is_said_and_the_rest_is_judged(log: Path, scores: Path, tmp_path: Path):
    train("handbook", log, "--out", tmp_path / "h.json")
    given = ("ope", log, "--policy", f"handbook:{tmp_path}/h.json", "--against", "heuristic", "--scores", scores)
    told = json.loads(train(*given, "--json").stdout)
    assert told["policies"]["heuristic"]["cannot_tell"] == "support"
    assert "kb:atlas + kb:people + kb:prices" in told["policies"]["heuristic"]["reason"]
    said = train(*given, "--png", tmp_path / "chart.png").stdout
    assert "heuristic: cannot tell: the log never does 'kb:atlas + kb:people + kb:prices'" in said
    assert (tmp_path / "chart.png").stat().st_size > 1000


def test_a_policy_is_judged_on_questions_that_it_was_not_trained_on(log: Path, scores: Path, policy: Path):
    told = train("ope", log, "--policy", f"local:{policy}", "--scores", scores, "--json")
    seen = json.loads((policy / "trained_on.json").read_text())["questions"]
    left_out = int(told.stderr.split(" runs were left out")[0])
    assert len(seen) * 2 == left_out and json.loads(told.stdout)["logged"]["n"] == 100 - len(seen)


def test_a_log_of_questions_that_were_trained_on_judges_nothing(log: Path, scores: Path, policy: Path, tmp_path: Path):
    told = json.loads((policy / "trained_on.json").read_text())
    for one in policy.iterdir():
        if one.is_file():
            (tmp_path / one.name).write_bytes(one.read_bytes())
    from router_training.prepared import question_mark

    told["questions"] = sorted({question_mark(run) for run in read_runs(log)})
    (tmp_path / "trained_on.json").write_text(json.dumps(told))
    for given in (["ope", log, "--policy", f"local:{tmp_path}"], ["report", tmp_path, log]):
        assert "was trained on the questions of all 200 runs" in complaint(*given, "--scores", scores)


def test_a_policy_that_is_not_shown_to_be_better_is_not_promoted(log: Path, scores: Path, policy: Path):
    told = train("report", policy, log, "--scores", scores)
    assert told.stdout.rstrip().splitlines()[-1].startswith("keep the handbook: ")
    kept = json.loads((policy / "report.json").read_text())
    assert kept["verdict"] == "keep the handbook" and {"handbook", "knn"} <= set(kept["estimated"]["policies"])
    card = json.loads((policy / "policy.json").read_text())
    assert card["learned"]["evaluation"]["verdict"] == "keep the handbook"
    page = (policy / "MODEL_CARD.md").read_text()
    assert page.count("## Evaluation") == 1 and "**keep the handbook**" in page and "## Config" in page
    assert json.loads(train("report", policy, log, "--scores", scores, "--limit", 4, "--json").stdout)["verdict"]


def test_running_policies_needs_questions_and_a_router_before_anything_is_estimated(
    log: Path, policy: Path, tmp_path: Path
):
    run_them = ("report", policy, log, "--router", tmp_path / "router.yaml")
    assert "--questions FILE" in complaint(*run_them)
    (tmp_path / "q.jsonl").write_text('{"id": "1", "question": "A b?", "golden_answers": ["c"]}\n')
    assert complaint(*run_them, "--questions", tmp_path / "q.jsonl").endswith("polyroute init writes one.")


class Knows(ChoicePolicy):
    """Takes the best option of the world, always."""

    name = "knows"

    def __init__(self, world: World) -> None:
        self._world, self._questions = world, {one.text: one for one in world.questions()}

    def choose(self, view):
        best = self._world.best(view, self._questions[view.question]) or {"answer"}
        key = "answer" if view.must_answer else min(best)
        return Choice("", (action_to(key, view),), {one["key"]: float(one["key"] == key) for one in view.legal}, 1.0)


def test_policies_are_run_side_by_side_on_the_same_questions():
    world = World()
    asked = [Asked(one.text, (one.answer,)) for one in balanced(world.questions(), 40, seed=3)]
    results = {one.name: asyncio.run(ran(world.graph(one, PRICES), asked)) for one in (Knows(world), Poor())}
    assert results["knows"].quality.mean() == 1.0 and results["knows"].usd.mean() > 0
    told = compared("knows", results)
    assert told.is_better and "beats poor at equal cost" in told.sentence
    back = compared("poor", results)
    assert not back.is_better and "is worse than knows" in back.sentence


def _ran(quality: float, usd: float, n: int = 40) -> Ran:
    noise = np.random.default_rng(0).normal(0, 0.05, n)
    return Ran(quality + noise, np.full(n, usd))


def test_a_dearer_policy_is_no_rival_unless_all_are():
    some = compared("mine", {"mine": _ran(0.6, 1.0), "dear": _ran(0.9, 2.0), "cheap": _ran(0.5, 1.0)})
    assert some.is_better and [one.name for one in some.promotion.rivals] == ["cheap"]
    alone = compared("mine", {"mine": _ran(0.6, 1.0), "dear": _ran(0.9, 2.0)})
    assert not alone.is_better and not compared("mine", {"mine": _ran(0.6, 1.0)}).is_better


def test_questions_to_run_have_answers_and_were_not_trained_on(tmp_path: Path):
    path = tmp_path / "q.jsonl"
    path.write_text('{"id": "1", "question": "A b?", "golden_answers": ["c"]}\n')
    (one,) = read_questions(path)
    assert one == Asked("A b?", ("c",)) and unseen_questions([one], set()) == [one]
    from router_graph.evaluation.questions import mark_of

    with pytest.raises(DataError, match="trained on all 1 questions"):
        unseen_questions([one], {mark_of("a  B?")})


def _told(lead: float) -> Estimated:
    """A log of a coin; the candidate takes the arm that pays `lead` more, the handbook the other one."""
    rng = np.random.default_rng(0)
    action = rng.integers(0, 2, 600)
    logged = Logged(
        actions=("kb:a", "kb:b"),
        action=action,
        propensity=np.full(600, 0.5),
        reward=rng.normal(0.5, 0.1, 600) + lead * (action == 0),
        episode=np.arange(600),
        step=np.ones(600, dtype=np.int64),
        question=tuple(map(str, range(600))),
        behaviour=np.full((600, 2), 0.5),
    )
    arms = {"mine": np.tile([1.0, 0.0], (600, 1)), "handbook": np.tile([0.0, 1.0], (600, 1))}
    return Estimated(report(logged, "mine", arms))


def _comparison(lead: float) -> Comparison:
    return compared("mine", {"mine": _ran(0.5 + lead, 1.0), "handbook": Ran(np.full(40, 0.5), np.full(40, 1.0))})


def test_only_what_was_shown_to_be_better_is_promoted():
    assert verdict(_told(0.5), None).word == "promote"
    assert verdict(_told(-0.5), None).word == "keep the handbook"
    assert verdict(_told(0.0), None).word == "keep the handbook"
    nobody = Estimated(CannotTell("questions", "the log is small", None))
    assert verdict(nobody, None).word == "keep the handbook"
    assert verdict(nobody, _comparison(0.3)).word == "promote"
    assert verdict(_told(0.5), _comparison(-0.3)).word == "keep the handbook"
    assert verdict(_told(-0.5), _comparison(0.3)).word == "keep the handbook"


def test_scores_of_another_log_judge_nothing(log: Path, scores: Path, tmp_path: Path):
    runs = world_log(tmp_path, questions=6)
    with pytest.raises(DataError, match="score this log first"):
        estimated(runs, list(load(scores)), "poor", {"poor": Poor()})
