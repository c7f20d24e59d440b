"""The suite `ottqa` in a small folder of its layout: its knowledge bases are built once, and found again."""

from __future__ import annotations

import json

import pytest

from support.handbook import run

RIVERS = {"Arlo": "Dunmere", "Brint": "Elsby"}


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "ottqa"
    folder.mkdir()

    def write(name, rows):
        (folder / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    write(
        "passages.jsonl",
        [
            {"id": f"/wiki/{one}", "title": one, "text": f"{one} is a river of {n + 3} miles."}
            for n, one in enumerate(RIVERS.values())
        ],
    )
    write(
        "tables.jsonl",
        [
            {
                "id": "towns",
                "title": "Towns by river",
                "section": "",
                "url": "",
                "header": ["town", "river"],
                "rows": [list(row) for row in RIVERS.items()],
                "links": [[[], [f"/wiki/{one}"]] for one in RIVERS.values()],
            }
        ],
    )
    questions = [
        {
            "id": town,
            "question": f"How long is the river of the town {town} in miles?",
            "golden_answers": [str(n + 3)],
            "metadata": {"gold_table": "towns", "gold_passages": [f"/wiki/{river}"], "answer_in": ["passage"]},
        }
        for n, (town, river) in enumerate(RIVERS.items())
    ]
    write("questions.test.jsonl", questions)
    return folder


def test_its_knowledge_bases_are_built_once_and_both_kinds_of_document_are_needed(data, tmp_path):
    args = ("eval", "ottqa", "--data", data, "--split", "test", "--out", tmp_path / "o", "--policy", "heuristic")
    first = run(*args, "--no-simple", "--json")
    assert "wikipedia: 2 of 2 documents" in first.stderr
    rows = {row["policy"]: row for row in json.loads(first.stdout)}
    ours = rows["heuristic"]
    assert ours["n"] == 2 and ours["gold_recall"]["mean"] == 1.0 and ours["coverage"]["mean"] == 1.0
    assert list(ours["confusion"]) == ["tables + wikipedia"]
    again = run(*args, "--no-simple", "--json")
    assert "documents" not in again.stderr
    assert json.loads(again.stdout)[0]["em"] == ours["em"]


def test_a_table_without_an_id_is_told_with_its_line(data, tmp_path):
    (data / "tables.jsonl").write_text('{"title": "x"}', encoding="utf-8")
    said = run("eval", "ottqa", "--data", data, "--split", "test", "--out", tmp_path / "o", code=1).output
    assert "tables.jsonl, line 1 is no table of OTT-QA ('id' is missing)." in " ".join(said.split())
