"""Policies that are compared, steps that are labelled, and rewards, in the viewer: a real log, over HTTP."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from router_graph import Answer, RouteToKB, create_router
from router_graph.forking import fork
from router_graph.trajectories.labels import LabelWriter, read_labels
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.records import RunRecord
from router_graph.viewer.alignment import aligned, done_in, first_difference
from router_training.rewards.saved import save
from router_training.rewards.scoring import RewardRecord
from support.routing import Script
from support.town_runs import questions, towns
from support.viewer_server import ViewerServer, until

ASKED = questions()[:6]
"""Mayors and years in turn."""


def record(folder: Path) -> list[RunRecord]:
    """`mayors` knows one half, `guess` answers at once and is right about the first, `careful` asks rumours before."""
    kb = {
        "mayors": lambda view: RouteToKB("people", view.question),
        "careful": lambda view: RouteToKB("rumours" if not view.steps else "people", view.question),
    }
    says = {
        "mayors": [kb["mayors"], lambda view: Answer(found(view))],
        "careful": [kb["careful"], kb["careful"], lambda view: Answer(found(view))],
        "guess": [Answer(f"It is {ASKED[0].answer}.")],
    }
    with Recorder(folder, sync="never") as recorder:
        for name, script in says.items():
            graph = create_router(towns(), policy=Script(*script, name=name))
            for one in ASKED:
                about = {"question_id": one.text} | ({"gold": [one.answer]} if one is not ASKED[-1] else {})
                graph.invoke({"question": one.text}, {"callbacks": [recorder], "metadata": about})
    return list(read_runs(folder))


def found(view) -> str:
    asked = [hit for hit in view.evidence if hit["kb"] == "people" and view.question.split()[-1][:-1] in hit["text"]]
    return asked[0]["text"] if asked else "Nobody knows."


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log") / "runs"
    record(folder)
    return folder


@pytest.fixture(scope="module")
def server(log: Path) -> Iterator[ViewerServer]:
    with ViewerServer(log, cache=log.parent / "index.sqlite") as made:
        until(lambda: made.get("runs")["total"] == 3 * len(ASKED))
        yield made


@pytest.fixture(scope="module")
def runs(server: ViewerServer) -> dict[tuple[str, str], str]:
    """By policy and question: the run's id."""
    return {(one["policy"], one["question"]): one["id"] for one in server.get("runs", limit=100)["runs"]}


def test_two_policies_are_compared_on_the_questions_that_both_answered(server: ViewerServer):
    told = server.get("compare", a="mayors", b="guess")
    assert told["counts"] == {"win": 2, "loss": 0, "tie": 3, "unknown": 1} and told["total"] == 6
    by_question = {one["question"]: one for one in told["rows"]}
    assert by_question[ASKED[0].text]["outcome"] == "tie" and by_question[ASKED[2].text]["outcome"] == "win"
    assert all(one["a"]["policy"] == "mayors" and one["first_difference"] == 1 for one in told["rows"])
    back = server.get("compare", a="guess", b="mayors")
    assert back["counts"] == {"win": 0, "loss": 2, "tie": 3, "unknown": 1}


def test_of_each_policy_the_newest_run_counts_and_no_fork(tmp_path: Path):
    one, log = ASKED[0], tmp_path / "runs"
    about = {"metadata": {"question_id": one.text, "gold": [one.answer]}}
    with Recorder(log, sync="never") as recorder, Recorder(log / "forks", sync="never") as forks:
        for name, answer in (("a", "Nobody."), ("b", "Nobody."), ("a", one.answer)):
            graph = create_router(towns(), policy=Script(Answer(answer), name=name))
            graph.invoke({"question": one.text}, {**about, "callbacks": [recorder]})
        last = list(read_runs(log))[-1]
        fork(graph, last, 1, Answer("Nobody at all."), config={"callbacks": [forks]})
    with ViewerServer(log, cache=tmp_path / "index.sqlite") as server:
        until(lambda: server.get("runs")["total"] == 4)
        told = server.get("compare", a="a", b="b")
    assert told["counts"]["win"] == told["total"] == 1 and told["rows"][0]["a"]["id"] == last.run_id


def test_pages_of_one_outcome_and_filters_of_either_run(server: ViewerServer):
    wins = server.get("compare", a="mayors", b="guess", outcome="win", limit=1, offset=1)
    assert (wins["total"], len(wins["rows"])) == (2, 1) and wins["counts"]["tie"] == 3
    some = server.get("compare", a="mayors", b="guess", filter="mayor policy=guess right=false")
    assert some["total"] == 2 and all("mayor" in one["question"] for one in some["rows"])


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ({"a": "mayors", "b": "mayors"}, 400, "not 'mayors' with itself"),
        ({"a": "mayor", "b": "guess"}, 404, "did you mean 'mayors'?"),
        ({"a": "mayors", "b": "guess", "outcome": "won"}, 400, "there is win, loss, tie, unknown"),
        ({"a": "mayors", "b": "guess", "limit": "many"}, 400, "whole number"),
        ({"a": "mayors", "b": "guess", "filter": "("}, 400, "("),
    ],
)
def test_a_comparison_that_cannot_be_is_told_in_a_sentence(server: ViewerServer, query, status, says):
    reply = server.client.get("compare", params=query)
    assert reply.status_code == status and says in reply.json()["error"]["message"]


def test_two_runs_lie_side_by_side_and_the_index_says_the_same_as_the_log(server: ViewerServer, runs, log: Path):
    careful, mayors = (runs[name, ASKED[0].text] for name in ("careful", "mayors"))
    told = server.get(f"runs/{careful}/versus/{mayors}")
    assert told == {"first_difference": 1, "pairs": [[1, None], [2, 1], [3, 2]]}
    assert server.get(f"runs/{careful}/versus/{careful}")["first_difference"] is None
    assert server.client.get(f"runs/{careful}/versus/nothing").status_code == 404
    by_id = {run.run_id: done_in(run) for run in read_runs(log)}
    for row in server.get("compare", a="careful", b="mayors")["rows"]:
        assert row["first_difference"] == first_difference(by_id[row["a"]["id"]], by_id[row["b"]["id"]])


def test_steps_are_the_same_whatever_their_letters_and_thoughts():
    one, two, three = (frozenset({("kb:a", word)}) for word in ("x", "y", "z"))
    assert first_difference([one, two], [one, two]) is None
    assert first_difference([one, two], [one]) == 2 and first_difference([one, two], [one, three]) == 2
    assert aligned([one, two, three], [two, one]) == [(None, 1), (1, 2), (2, None), (3, None)]
    assert aligned([], [one]) == [(None, 1)] and aligned([one], [two]) == [(1, 1)]


def test_a_step_is_labelled_and_the_label_taken_back(server: ViewerServer, runs, log: Path):
    run = runs["guess", ASKED[2].text]
    better = {"kind": "kb", "target": "kb:people", "query": "mayor"}
    given = server.post(f"runs/{run}/steps/1/label", verdict="better", better=better, note="ask first")
    assert given["better"] == better and given["note"] == "ask first" and given["step"] == 1
    until(lambda: server.get(f"runs/{run}")["steps"][0]["labels"])
    (shown,) = server.get(f"runs/{run}")["steps"][0]["labels"]
    assert shown == given and server.get("runs", filter="label=better")["total"] == 1
    assert read_labels(log)[0]["better"] == {"kind": "kb", "kb": "people", "query": "mayor"}
    server.post(f"runs/{run}/steps/1/label", verdict="bad")
    assert server.client.delete(f"runs/{run}/steps/1/label").json()["verdict"] is None
    until(lambda: server.get(f"runs/{run}")["steps"][0]["labels"] == [])
    assert read_labels(log) == []


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"verdict": "fine"}, "verdict is good, bad or better"),
        ({"verdict": "better"}, "belongs to the verdict"),
        ({"verdict": "good", "better": {"kind": "answer", "text": "x"}}, "belongs to the verdict"),
        ({"verdict": "good", "note": 1}, "note is a text"),
        ({"verdict": "better", "better": {"kind": "answer", "text": " "}}, "Write what would have been"),
        ({"verdict": "better", "better": {"kind": "kb", "target": "kb:x", "query": "y"}}, "There is no kb:x"),
        ({"verdict": "better", "better": {"kind": "answer", "text": f"It is {ASKED[0].answer}."}}, "what was done"),
    ],
)
def test_a_label_that_cannot_be_is_told_in_a_sentence(server: ViewerServer, runs, told, says):
    run = runs["guess", ASKED[1].text]
    assert says in server.post(f"runs/{run}/steps/1/label", 400, **told)
    assert server.get(f"runs/{run}")["steps"][0]["labels"] == []


def test_only_a_step_that_there_is_can_be_labelled(server: ViewerServer, runs):
    run = runs["guess", ASKED[1].text]
    assert "has no step 7" in server.post(f"runs/{run}/steps/7/label", 404, verdict="good")
    assert server.client.post("runs/none/steps/1/label", json={"verdict": "good"}).status_code == 404
    reply = server.client.post(
        f"runs/{run}/steps/1/label", content=b"[1]", headers={"content-type": "application/json"}
    )
    assert reply.status_code == 400 and "Send a JSON object" in reply.text
    reply = server.client.post(f"runs/{run}/steps/1/label", content="verdict=good")
    assert reply.status_code == 415


def test_labels_of_other_processes_are_seen(server: ViewerServer, runs, log: Path):
    run = runs["careful", ASKED[0].text]
    LabelWriter(log).give(run, 2, "good", by="ann")
    until(lambda: [one["by"] for one in server.get(f"runs/{run}")["steps"][1]["labels"]] == ["ann"])
    assert server.get("runs", filter="label=good")["runs"][0]["labels"] == 1


def test_rewards_are_shown_by_their_parts_of_each_the_newest_file(server: ViewerServer, runs, log: Path):
    run = runs["mayors", ASKED[0].text]
    both = [RewardRecord(run, 1, 3.0, {}, "both-1"), RewardRecord(run, 0, 5.0, {}, "both-1")]
    steps = [RewardRecord(run, n, 0.25 * n, {"cost": -0.5, "found": n}, "verifiable-1") for n in (1, 2)]
    (log / "rewards").mkdir()
    save([RewardRecord(run, 1, 9.0, {}, "verifiable-0")], log / "rewards" / "verifiable-0.jsonl")
    os.utime(log / "rewards" / "verifiable-0.jsonl", (1, 1))
    save(steps, log / "rewards" / "verifiable-1.jsonl", about={"name": "verifiable"})
    whole = [RewardRecord(run, 0, 0.75, {"outcome": 1.0}, "router_r1-a")]
    save(whole, log / "rewards" / "router_r1-a.parquet")
    save(both, log / "rewards" / "both-1.jsonl")
    os.utime(log / "rewards" / "both-1.jsonl", (1, 1))
    until(lambda: len(server.get(f"runs/{run}")["rewards"]) == 3)
    page = server.get(f"runs/{run}")
    told = {one["name"]: one for one in page["rewards"]}
    assert told["router_r1"] == {
        "name": "router_r1",
        "version": "router_r1-a",
        "value": 0.75,
        "components": {"outcome": 1.0},
    }
    assert told["verifiable"]["value"] == 0.75 and told["verifiable"]["components"] == {"cost": -1.0, "found": 3.0}
    assert told["both"]["value"] == 5.0, "its own, and no sum"
    (second,) = page["steps"][1]["rewards"]
    assert (second["value"], second["version"]) == (0.5, "verifiable-1")
    assert page["row"]["reward"] == 0.75


def test_damaged_scores_are_skipped_and_files_that_go_take_theirs_along(server: ViewerServer, runs, log: Path):
    run, path = runs["guess", ASKED[0].text], log / "rewards" / "other-1.jsonl"
    path.parent.mkdir(exist_ok=True)
    good = {"run_id": run, "number": 1, "total": 1.0, "parts": {}, "version": "other-1"}
    path.write_text("\n".join(["{", "[]", json.dumps({**good, "total": None}), json.dumps(good)]))
    until(lambda: [one["name"] for one in server.get(f"runs/{run}")["steps"][0]["rewards"]] == ["other"])
    path.unlink()
    until(lambda: server.get(f"runs/{run}")["steps"][0]["rewards"] == [])
