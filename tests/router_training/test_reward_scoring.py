"""One pass over a log: every step that can be judged has a score of one version, and what is missing is said first."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.evaluation.gold import Gold
from router_graph.trajectories.records import RunRecord
from router_training.errors import DataError
from router_training.rewards.costs import CostNormaliser
from router_training.rewards.gold import Questions
from router_training.rewards.reward import RunReward, Score
from router_training.rewards.router_r1 import RouterR1
from router_training.rewards.saved import load, path_beside, save
from router_training.rewards.scoring import Log, RewardRecord, score
from router_training.rewards.verifiable import Verifiable
from support.routed_runs import GOOD, QUESTION, run_of
from support.run_logs import record_real_runs

SCALE = CostNormaliser(0.0, 0.1)
RUN, STEP = RouterR1(SCALE), Verifiable(SCALE)
GOOD_RUN = run_of(GOOD)
ROW = {
    "id": "q1",
    "question": QUESTION,
    "golden_answers": ["Bo Chen"],
    "metadata": {"gold_documents": ["films:harbour", ["people:bo", "people:chen"]]},
}


class Counting(RunReward):
    """Counts how often it is asked."""

    name = "counting"

    def __init__(self):
        self.asked = 0

    @property
    def parameters(self):
        return {}

    def of_run(self, run, gold):
        self.asked += 1
        return Score(0, 1.0)


def without_gold(run: RunRecord, name: str) -> RunRecord:
    return replace(run, run_id=name, metadata={"question_id": "q1"})


def test_steps_have_numbers_and_the_run_has_none():
    assert [one.number for one in score([GOOD_RUN], STEP)] == [1, 2, 3]
    (whole,) = score([GOOD_RUN], RUN)
    assert (whole.run_id, whole.number, whole.version) == (GOOD_RUN.run_id, 0, RUN.version)


def test_runs_of_which_nobody_knows_what_is_right_are_counted_and_left_out():
    counting, skipped = Counting(), Counter()
    runs = [without_gold(GOOD_RUN, "asked"), GOOD_RUN, without_gold(GOOD_RUN, "too")]
    found = list(score(iter(runs), counting, skipped=skipped))
    assert ({one.run_id for one in found}, counting.asked, skipped) == ({GOOD_RUN.run_id}, 1, {"unknown": 2})


def test_what_is_missing_is_said_before_anything_is_computed():
    counting, runs = Counting(), [without_gold(GOOD_RUN, "bare"), without_gold(GOOD_RUN, "too")]
    with pytest.raises(DataError, match=r"2 of 2 runs have no right answer .*'bare' with the question 'q1'"):
        score(iter(runs), counting)
    assert counting.asked == 0
    bare = {"gold": "Bo Chen"}
    with pytest.raises(DataError, match=r"1 of 1 runs have no needed document .* weights.documents=0 and "):
        score([replace(GOOD_RUN, metadata=bare)], STEP)
    assert list(score([replace(GOOD_RUN, metadata={**bare, "gold_documents": []})], STEP))


def test_that_no_document_is_needed_is_not_the_same_as_that_nobody_knows(tmp_path):
    path = tmp_path / "questions.jsonl"
    rows = [{**ROW, "id": "none", "metadata": {"gold_documents": []}}, {**ROW, "id": "unknown", "metadata": {}}]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    questions = Questions.load(path)
    told = {
        name: questions.of(replace(GOOD_RUN, metadata={"question_id": name})).documents for name in ("none", "unknown")
    }
    assert told == {"none": (), "unknown": None}
    own = {"question_id": "none", "gold_documents": ["films:harbour"]}
    assert questions.of(replace(GOOD_RUN, metadata=own)).documents == ()  # the file knows, and is believed


def test_gold_is_joined_from_the_file_of_questions(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(ROW) + "\n\n", encoding="utf-8")
    questions = Questions.load(path)
    ours = [one.total for one in score([GOOD_RUN], STEP)]
    assert [one.total for one in score([without_gold(GOOD_RUN, "r")], STEP, questions)] == ours
    unnamed = replace(GOOD_RUN, metadata={})  # known by its text
    assert [one.total for one in score([unnamed], STEP, questions)] == ours


def test_needed_documents_can_stand_under_other_names_of_the_metadata(tmp_path):
    path = tmp_path / "questions.jsonl"
    about = {"gold_table": "t1", "gold_passages": ["p1", "p2"]}
    path.write_text(json.dumps({**ROW, "metadata": about}), encoding="utf-8")
    questions = Questions.load(path, documents=lambda m: [m["gold_table"], m["gold_passages"]])
    assert questions.of(without_gold(GOOD_RUN, "r")).documents == (frozenset({"t1"}), frozenset({"p1", "p2"}))


def test_two_questions_of_one_text_are_told_apart_by_their_ids_alone(tmp_path):
    path = tmp_path / "questions.jsonl"
    other = {**ROW, "id": "q2", "golden_answers": ["Cy"]}
    path.write_text(f"{json.dumps(ROW)}\n{json.dumps(other)}\n", encoding="utf-8")
    questions = Questions.load(path)
    assert questions.of(without_gold(GOOD_RUN, "r")).answers == ("Bo Chen",)
    assert questions.of(replace(GOOD_RUN, metadata={})).answers == ()


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "{}", '{"id": "a"}', '{"id": "a", "golden_answers": {"x": 1}}', '{"id": "a", "golden_answers": [[1]]}',
     '{"id": "a", "golden_answers": ["x"], "metadata": {"gold_documents": "d1"}}',
     '{"id": "a", "golden_answers": ["x"], "metadata": {"gold_documents": [1]}}', '{"id": "\udcff"}',
     '{"id": "a", "golden_answers": ["x"], "metadata": {"gold_documents": ["d1", []]}}'],
)  # fmt: skip
def test_a_line_that_is_no_question_is_named(tmp_path, line):
    path = tmp_path / "questions.jsonl"
    path.write_bytes(f"{json.dumps(ROW)}\n{line}\n".encode(errors="surrogateescape"))
    with pytest.raises(DataError, match="Line 2 of"):
        Questions.load(path)


def test_an_id_that_comes_twice_is_named(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n{json.dumps(ROW)}\n", encoding="utf-8")
    with pytest.raises(DataError, match="'q1' again"):
        Questions.load(path)


def test_a_gold_that_is_none_is_one_sentence():
    with pytest.raises(DataError, match="gold of run"):
        Questions().of(replace(GOOD_RUN, metadata={"gold": {"a": 1}}))
    assert Questions().of(replace(GOOD_RUN, metadata={"gold": 1912})) == Gold(("1912",))


def test_runs_that_did_not_end_are_counted_and_not_scored():
    runs = [
        GOOD_RUN,
        replace(GOOD_RUN, status="open"),
        replace(GOOD_RUN, status="failed"),
        replace(GOOD_RUN, is_ours=False),
    ]
    skipped: Counter[str] = Counter()
    assert len(list(score(runs, RUN, skipped=skipped))) == 1
    assert skipped == {"open": 1, "failed": 1, "foreign": 1}
    with pytest.raises(DataError, match="no run to score"):
        score(runs[1:], RUN)


def test_a_log_on_disk_is_scored_a_run_at_a_time(tmp_path):
    record_real_runs(tmp_path, "Who?", "When?", says="Herbert")
    questions = Questions({"q7": Gold(("Herbert",))})
    scores = list(score(Log(tmp_path), RUN, questions))
    assert [one.parts["outcome"] for one in scores] == [1.0, 1.0]
    assert scores == list(score(list(Log(tmp_path)), RUN, questions))


numbers = st.floats(allow_nan=False, allow_infinity=False)
records = st.builds(
    RewardRecord,
    st.text(max_size=9),
    st.integers(0, 999),
    numbers,
    st.dictionaries(st.sampled_from(["answer", "cost", "format"]), numbers),
    st.text(max_size=9),
)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@given(st.lists(records, max_size=5))
def test_saved_scores_are_read_back_to_the_last_bit(tmp_path_factory, suffix, given_records):
    path = tmp_path_factory.mktemp("scores") / f"rewards{suffix}"
    assert save(given_records, path, about={"reward": "x"}) == len(given_records)
    assert [replace(one, parts=dict(one.parts)) for one in load(path)] == given_records


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_scores_are_saved_whole_or_not_at_all(tmp_path, suffix):
    path = path_beside(tmp_path, STEP, suffix=suffix)
    assert path.parent == tmp_path / "rewards" and path.name == f"{STEP.version}{suffix}"
    good = list(score([GOOD_RUN], STEP))
    save(good, path)
    with pytest.raises(DataError, match="is no number"):
        save([good[0], replace(good[1], parts={"cost": float("nan")})], path)
    assert list(load(path)) == good
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "line",
    [b'{"run_id": "x"', b"\xff\xfe", b"7", b'["about"]',
     *(b'{"run_id": "x", "number": 1, "total": %b, "parts": %b, "version": "v"}' % pair
       for pair in ((b"NaN", b"{}"), (b"null", b"{}"), (b'"1"', b"{}"), (b"1", b"null"), (b"1", b'{"a": Infinity}')))],
)  # fmt: skip
def test_a_line_that_is_no_score_is_named(tmp_path, line):
    path = tmp_path / "scores.jsonl"
    save(score([GOOD_RUN], STEP), path)
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(DataError, match="Line 5 of"):
        list(load(path))


@pytest.mark.parametrize("keep", [5, 300, -9])
def test_a_parquet_file_that_is_torn_is_one_sentence(tmp_path, keep):
    path = tmp_path / "scores.parquet"
    save(score([GOOD_RUN], STEP), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="holds no scores"):
        list(load(path))
