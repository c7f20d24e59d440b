"""Files of questions, and what is said of one that cannot be used."""

from __future__ import annotations

import json

import pytest

from router_graph.errors import QuestionError
from router_graph.evaluation.gold import Gold
from router_graph.evaluation.questions import Question, fingerprint, mark_of, read_questions
from router_graph.evaluation.readers.gold import LAYOUTS

GOOD = {"id": 1, "question": "Who?", "golden_answers": ["Ann", 3], "metadata": {"gold_documents": ["a", ["b", "c"]]}}


def written(tmp_path, *rows):
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows), encoding="utf-8")
    return path


def test_a_question_has_its_answers_and_the_documents_that_it_needs(tmp_path):
    (one,) = read_questions(written(tmp_path, GOOD, ""))
    assert one == Question("1", "Who?", Gold(("Ann", "3"), (frozenset("a"), frozenset("bc"))))
    assert one.gold.met([{"kb": "x", "doc_id": "c"}, {"kb": "x", "doc_id": "z"}]) == {1}


def test_that_no_document_is_needed_is_another_thing_than_that_nobody_says(tmp_path):
    rows = [{**GOOD, "metadata": {"gold_documents": []}}, {**GOOD, "id": 2, "metadata": {}}]
    none, unknown = read_questions(written(tmp_path, *rows))
    assert none.gold.documents == () and unknown.gold.documents is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "There is no question"),
        ([GOOD, "{"], "line 2 is no JSON"),
        ([GOOD, {**GOOD, "id": 2, "question": "\ud800?"}], "line 2 is no JSON"),
        (["[" * 100_000], "line 1 is no JSON"),
        ([GOOD, GOOD], "line 2: the id '1' is that of line 1 too"),
        ([{"id": 1, "question": "x"}], "line 1 has no golden_answers"),
        (["[1]"], "line 1 has no id and no question and no golden_answers"),
        ([{**GOOD, "question": " "}], "line 1: the question is ' '"),
        ([{**GOOD, "golden_answers": []}], "line 1: golden_answers is []"),
        ([{**GOOD, "golden_answers": {}}], "line 1: golden_answers is {}"),
        ([{**GOOD, "metadata": []}, {**GOOD, "id": 2, "metadata": [1]}], "line 2: the metadata is [1]"),
        ([{**GOOD, "metadata": {"gold_documents": "a"}}], "line 1: gold_documents is 'a'"),
        ([{**GOOD, "metadata": {"gold_kbs": 1.5j.imag}}], None),
        ([{**GOOD, "metadata": {"gold_kbs": {}}}], None),
        ([{**GOOD, "metadata": {"gold_kbs": {"x": 1}}}], "line 1: gold_kbs is {'x': 1}"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_with_its_number(tmp_path, rows, said):
    path = written(tmp_path, *rows)
    if said is None:
        assert len(read_questions(path)) == 1
        return
    with pytest.raises(QuestionError, match=r"\.$") as caught:
        read_questions(path)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path):
    with pytest.raises(QuestionError, match="cannot be read"):
        read_questions(tmp_path / "none.jsonl")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(QuestionError, match="UTF-8"):
        read_questions(tmp_path / "bytes.jsonl")


def test_questions_are_known_whatever_their_case_and_spacing():
    assert mark_of(" Who  is\nAnn? ") == mark_of("who is ann?") != mark_of("who is bea?")
    assert fingerprint(["a", "B"]) == fingerprint(["b ", "A", "a"]) != fingerprint(["a"])


@pytest.mark.parametrize(
    ("layout", "metadata"),
    [
        ("hotpotqa", {"supporting_facts": [1, 2]}),
        ("hotpotqa", {"supporting_facts": {"title": [["a"]]}}),
        ("musique", {"paragraphs": [{"is_supporting": True}]}),
        ("musique", {"paragraphs": ["a"]}),
        ("multimodalqa", {"supporting_context": "z"}),
    ],
)
def test_metadata_of_another_layout_is_told_with_its_line(tmp_path, layout, metadata):
    path = written(tmp_path, GOOD | {"metadata": {}}, {**GOOD, "id": 2, "metadata": metadata})
    with pytest.raises(QuestionError, match="line 2: the metadata does not say what is needed"):
        read_questions(path, gold=LAYOUTS[layout])
