"""Public benchmarks, in small files of their layouts."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from router_graph.errors import EvaluationError
from router_graph.evaluation import routed
from router_graph.evaluation.readers import routerarena, routerbench
from router_graph.evaluation.readers.gold import facts, multimodalqa, musique
from router_graph.evaluation.readers.graded import Graded
from support.handbook import run

HEAD = ["", "sample_id", "prompt", "eval_name", "a", "b", "a|model_response", "a|total_cost", "b|total_cost"]


def bench(tmp_path, *rows, head=HEAD, name="arc_test.csv"):
    path = tmp_path / name
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def test_routerbench_is_read_with_what_it_leaves_out(tmp_path):
    rows = [
        [0, "x.1", "one, \n two", "arc", 1.0, 0.25, "['A']", 0.1, 0.2],
        [1, "x.2", "three", "arc", "", 1.0, "", "", 0.2],
        [2, "x.3", "four", "arc", 0.0, 1.0, "", 0.1, 0.2],
    ]
    table = routerbench.read(bench(tmp_path, *rows))
    assert table.models == ["a", "b"] and table.questions == ["one, \n two", "four"] and table.left_out == 1
    assert table.scores.tolist() == [[1.0, 0.25], [0.0, 1.0]] and table.usd.tolist() == [[0.1, 0.2]] * 2
    assert routerbench.read(tmp_path).questions == table.questions


@pytest.mark.parametrize(
    ("cells", "head", "said"),
    [
        ([0, "x", "p", "arc", "good", 1, "", 0.1, 0.2], HEAD, "line 2: 'a' has 'good', which is no score."),
        ([0, "x", "p", "arc", 3, 1, "", 0.1, 0.2], HEAD, "a score that is not from 0 to 1"),
        ([0, "x", "p", "arc", 1, 1, "", 0.1, 0.2], ["x"] * 9, "has no column 'prompt'"),
        ([0, "x", "p", "arc", "", "", "", "", ""], HEAD, "has no question that two models or more"),
    ],
)
def test_routerbench_that_is_wrong_is_told(tmp_path, cells, head, said):
    with pytest.raises(EvaluationError) as caught:
        routerbench.read(bench(tmp_path, cells, head=head))
    assert said in str(caught.value)


def test_a_pickle_is_not_opened(tmp_path):
    (tmp_path / "routerbench.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(EvaluationError, match="pickles are not read"):
        routerbench.read(tmp_path / "routerbench.pkl")


def arena(tmp_path, **models):
    for model, scores in models.items():
        rows = [
            {
                "global_index": f"q_{n}",
                "question": f"question {n}",
                "evaluation_result": None if score is None else {"score": score, "inference_cost": 0.001 * len(model)},
            }
            for n, score in enumerate(scores)
        ]
        (tmp_path / f"{model}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


def test_routerarena_is_joined_by_query(tmp_path):
    table = routerarena.read(arena(tmp_path, big=[1.0, 1.0, None], tiny=[0.0, 1.0, 1.0]))
    assert table.models == ["big", "tiny"] and table.scores.tolist() == [[1, 0], [1, 1]] and table.left_out == 1
    (tmp_path / "bad.jsonl").write_text('{"global_index": 1}', encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"bad\.jsonl, line 1 is no judged reply"):
        routerarena.read(tmp_path)


def test_the_oracle_takes_the_cheapest_that_is_right_and_a_knn_learns_what_can_be_learned():
    n = 200
    kinds = np.arange(n) % 2
    questions = [f"{'sum of numbers' if kind else 'capital of countries'} {place}" for place, kind in enumerate(kinds)]
    scores = np.stack([kinds, 1 - kinds], axis=1).astype(float)
    table = Graded(questions, ["maths", "places"], scores, np.tile([0.1, 0.2], (n, 1)), 0)
    rows = {row.policy: row for row in routed.rows(table)}
    assert rows["oracle"].metrics["score"].mean == 1.0 and rows["oracle"].metrics["usd"].mean == pytest.approx(0.15)
    assert rows["knn, cross-fitted"].metrics["score"].mean > 0.99 and rows["knn, cross-fitted"].beats_the_simple
    assert rows["random"].metrics["score"].mean == pytest.approx(0.5)
    shuffled = Graded(questions, table.models, np.random.default_rng(0).permutation(scores), table.usd, 0)
    assert not {row.policy: row for row in routed.rows(shuffled)}["knn, cross-fitted"].beats_the_simple


def test_a_table_of_scores_from_the_command_line(tmp_path):
    (tmp_path / "x").mkdir()
    arena(tmp_path / "x", big=[1.0] * 9, tiny=[0.0, 1.0] * 4 + [1.0])
    rows = json.loads(run("eval", "routerarena", "--data", tmp_path / "x", "--out", tmp_path / "o", "--json").stdout)
    assert {row["policy"] for row in rows} >= {"cheapest", "random", "oracle", "direct:big", "direct:tiny"}
    assert "give its folder with --data" in run("eval", "routerbench", code=1).output


def test_each_layout_says_which_documents_are_needed():
    assert facts({"supporting_facts": [["A", 0], ["B", 1], ["A", 2]]})[0] == ["A", "B"]
    assert facts({})[0] is None
    paragraphs = [{"title": "A", "is_supporting": True}, {"title": "B", "is_supporting": False}]
    assert musique({"paragraphs": paragraphs})[0] == ["A"] and musique({})[0] is None
    context = [{"doc_id": "t1", "doc_part": "table"}, {"doc_id": "p1", "doc_part": "text"}]
    assert multimodalqa({"supporting_context": context}) == (["t1", "p1"], ["table", "text"])
