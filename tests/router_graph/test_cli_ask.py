"""`polyroute ask`, `preview` and `graph`: what they print where, and what they say to bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from router_graph.settings import VARIABLES
from router_graph.trajectories.reader import read_runs
from support.handbook import QUESTION, make_shelf, run


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    make_shelf(folder)
    return folder


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shelf: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "POLYROUTE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    Path("router.yaml").write_text(f"knowledge: {shelf}\n")


def complaint(*args: object, typed: str | bytes | None = None) -> str:
    """The one sentence that a bad command ends with."""
    result = run(*args, typed=typed, code=1)
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("polyroute: ")
    return line.removeprefix("polyroute: ")


def test_the_answer_its_sources_and_the_bill_go_to_stdout_and_the_way_to_stderr():
    result = run("ask", QUESTION, "--only", "kb:handbook")
    answer, _, rest = result.stdout.partition("\n\nSources\n")
    assert "30" in answer
    assert "[handbook:leave]  Leave" in rest
    assert "knowledge_base  handbook" in rest
    assert re.search(r"^ 1\. \S", result.stderr)
    assert f"→ kb:handbook: {QUESTION}" in result.stderr
    assert re.search(r"← kb:handbook: 2 documents: Leave; Taxis  \(\d\.\d\d s\)", result.stderr)


def test_quiet_prints_the_answer_alone():
    result = run("ask", QUESTION, "--quiet")
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 1
    assert "30" in result.stdout


def test_json_is_one_object_with_what_a_program_needs():
    result = run("ask", QUESTION, "--json", "--policy", "fanout", "--seed", 3, "-k", 1)
    assert result.stderr == ""
    about = json.loads(result.stdout)
    assert {"answer", "citations", "stop_reason", "usd", "tokens", "steps", "ledger"} <= about.keys()
    assert about["question"] == QUESTION
    assert about["policy"] == "fanout"
    assert about["usd"] == pytest.approx(0.01)
    assert {len(one["hits"]) for one in about["steps"][0]["observations"].values()} == {1}


def test_a_forced_answer_is_an_answer_and_says_why_it_was_forced():
    result = run("ask", QUESTION, "--pin", "kb:hostile", "--budget-usd", 0.001)
    assert "Stopped early (usd): The money was spent (--budget-usd)." in result.stdout
    assert "kb:hostile" not in result.stderr


def test_why_shows_each_steps_options_with_the_price_and_the_reason_against_them():
    shown = run("ask", QUESTION, "--why", "--exclude", "kb:hostile").stdout
    assert re.search(r"^→ +kb:handbook +free *$", shown, re.MULTILINE)
    assert re.search(r"^ +kb:hostile +about \$0\.01\d* +excluded from this turn *$", shown, re.MULTILINE)
    assert "Step 2, by heuristic" in shown


def test_preview_shows_the_first_step_and_spends_nothing():
    shown = run("preview", QUESTION, "--exclude", "kb:hostile").stdout
    assert f"→ kb:handbook: {QUESTION}" in shown
    assert "excluded from this turn" in shown
    assert "Nothing was spent." in shown
    about = json.loads(run("preview", QUESTION, "--json").stdout)
    assert [one["key"] for one in about["options"]] == ["kb:handbook", "kb:hostile", "answer"]
    assert about["replay_id"] == json.loads(run("ask", QUESTION, "--json").stdout)["steps"][0]["decision"]["replay_id"]


def test_graph_is_mermaid_with_every_node():
    drawn = run("graph").stdout
    assert "graph TD" in drawn
    assert all(f"{node}(" in drawn for node in ("begin", "think", "route_to_kb", "route_to_llm", "finish"))


def test_many_questions_give_a_line_each_in_their_order_and_one_that_fails_ends_no_other():
    questions = [QUESTION, "x" * 1_000_000, "Who pays for taxis?"]
    Path("questions.txt").write_text("\n\n".join(questions) + "\n")
    result = run("ask", "--file", "questions.txt", "--parallel", 3, code=1)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["question"] for row in rows] == questions
    assert ["answer" in row for row in rows] == [True, False, True]
    assert "1,000,000 characters" in rows[1]["error"]
    assert result.stderr.startswith("1 of 3 questions failed; $0.0")


def test_questions_come_from_stdin_and_from_json_lines_with_their_ids():
    rows = [json.dumps({"id": n, "question": QUESTION, "gold": "30"}) for n in range(3)]
    for arguments in ([], ["-"]):
        result = run("ask", *arguments, typed="\n".join(rows))
        assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == [0, 1, 2]
    assert run("ask", "-q", typed=f"{QUESTION}\r\n").stdout.count("30") == 1


def test_what_a_line_says_to_be_right_is_recorded_with_the_run_and_nothing_else_of_it():
    line = {"id": "q1", "question": QUESTION, "golden_answers": ["30"], "metadata": {"gold_documents": ["leave"]}}
    Path("questions.jsonl").write_text(json.dumps(line) + "\n" + json.dumps({"question": "Who pays for taxis?"}) + "\n")
    rows = run("ask", "--file", "questions.jsonl", "--record", "runs").stdout
    assert "gold" not in rows
    known, unknown = sorted(read_runs("runs"), key=lambda one: one.question)
    assert (known.metadata["gold"], known.metadata["gold_documents"]) == (["30"], ["leave"])
    assert known.question_id == "q1" and "gold" not in unknown.metadata
    Path("questions.jsonl").write_text(json.dumps({**line, "golden_answers": {"a": 1}}))
    assert "line 1: what is right cannot be read" in complaint("ask", "--file", "questions.jsonl")


def test_results_in_a_file_are_added_to_and_what_is_answered_is_not_asked_again():
    Path("q.txt").write_text(f"{QUESTION}\nWho pays for taxis?\n{QUESTION}\n")
    done = {"question": QUESTION, "answer": "before"}
    Path("out.jsonl").write_text(f'{json.dumps(done)}\n{{"question": "Who pays for taxis?", "error": "x"}}\n{{"questi')
    assert run("ask", "-f", "q.txt", "-o", "out.jsonl").stdout == ""
    lines = Path("out.jsonl").read_text().splitlines()
    assert [json.loads(line)["question"] for line in lines[3:]] == ["Who pays for taxis?", QUESTION]
    assert "3 of 3 questions are answered" in run("ask", "-f", "q.txt", "-o", "out.jsonl").stderr
    assert Path("out.jsonl").read_text().splitlines() == lines


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["ask", "  "], "The question is empty"),
        (["ask", "caf\udce9"], "no text in UTF-8"),
        (["ask", "x" * 1_000_000], "has 1,000,000 characters"),
        (["ask", "x", "--image", "router.yaml"], "The image 'router.yaml' is no picture"),
        (["ask", "x", "--image", "nope.png"], "cannot be read"),
        (["ask", "x", "--policy", "heurstic"], "did you mean 'heuristic'"),
        (["ask", "x", "--protocol", "tag"], "did you mean 'tags'"),
        (["ask", "x", "--only", "kb:nope"], "only names 'kb:nope'"),
        (["ask", "x", "--exclude", "handbook"], "exclude.0 is 'handbook'"),
        (["ask", "x", "--pin", "kb:handbok"], "did you mean 'kb:handbook'"),
        (["ask", "x", "--pool", "nope.yaml"], "nope.yaml: there is no such file"),
        (["ask", "x", "--config", "nope.yaml"], "nope.yaml: there is no such file"),
        (["ask", "x", "--kb", "nowhere"], "There is nobody to ask"),
        (["ask", "x", "--kb", "http://127.0.0.1:9"], "127.0.0.1:9"),
        (["ask", "--file", "nope.txt"], "cannot be read"),
        (["ask", "--file", "bad.jsonl"], "bad.jsonl, line 2 has no question"),
        (["ask", "--file", "latin.txt"], "no text in UTF-8"),
        (["ask", "--file", "empty.txt"], "There is no question"),
        (["ask"], "There is no question in stdin"),
        (["ask", "--file", "good.txt", "--out", "no/where"], "cannot be written"),
        (["preview", ""], "The question is empty"),
        (["chat", "--thread", "t"], "checkpoints"),
        (["chat", "--policy", "heurstic"], "did you mean 'heuristic'"),
    ],
)
def test_bad_input_is_told_in_one_sentence_before_anything_is_asked(args: list[str], says: str):
    Path("bad.jsonl").write_text('{"question": "a"}\n{"query": "b"}\n')
    Path("latin.txt").write_bytes("Où?".encode("latin-1"))
    Path("empty.txt").write_text("\n \n")
    Path("good.txt").write_text("a\n")
    assert says in complaint(*args)


def test_a_typo_in_the_file_names_the_line_and_the_nearest_key():
    Path("router.yaml").write_text("# mine\npolcy: gate\n")
    assert complaint("ask", "x") == "router.yaml, line 2: 'polcy' is no known key; did you mean 'policy'?"


@pytest.mark.parametrize(
    "args",
    [
        ["x", "--budget-usd", "0"],
        ["x", "--budget-usd", "nan"],
        ["x", "--budget-tokens", "-1"],
        ["x", "--seconds", "inf"],
        ["x", "--max-steps", "0"],
        ["x", "-k", "0"],
        ["x", "--out", "o"],
        ["x", "--file", "f"],
        ["--file", "f", "--image", "i"],
    ],
)
def test_options_that_cannot_be_are_refused_with_their_name(args: list[str]):
    result = run("ask", *args, code=2)
    assert "--" in result.stderr or "-k" in result.stderr
    assert result.stdout == ""
