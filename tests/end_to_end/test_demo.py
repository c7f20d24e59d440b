"""The demo, run as a newcomer runs it: a process of its own, and the commands that it says to paste."""

from __future__ import annotations

import csv
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kb_tools import Catalog, Passage
from router_graph import create_router
from router_graph.pool.litellm_prices import known
from router_graph.trajectories.reader import read_runs

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))

from demo_sources import files, model_prices, planet_tables, python_reference  # noqa: E402

DEMO = ROOT / "examples" / "demo.py"
KNOWLEDGE = ROOT / "examples" / "knowledge"


def run(*command: object, together: bool = False) -> subprocess.CompletedProcess[str]:
    """`together`: what goes to stderr comes in its place in stdout, as a terminal shows it."""
    return subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if together else subprocess.PIPE,
        text=True,
        encoding="utf-8",
        timeout=90,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "PYTHONUTF8": "1"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "knowledge bases"  # a name that a shell must be told to keep whole


@pytest.fixture(scope="module")
def shown(folder: Path) -> str:
    done = run(sys.executable, DEMO, folder, together=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def told(shown: str) -> dict[str, str]:
    """What the demo shows of each question."""
    parts = shown.split(next(line for line in shown.splitlines() if set(line) == {"─"}))
    return {part.strip().splitlines()[0]: part for part in parts[1:]}


FLAGSHIP = "Which spacecraft first orbited the planet with the lowest density?"


def test_question_walks_from_a_table_to_the_passage_that_its_row_links_to(told: dict[str, str]) -> None:
    walk = told[FLAGSHIP]
    assert re.search(
        r"(?s)→ kb:articles: Saturn \(linked from tables:planets.csv\).*\nCassini \[articles:cassini", walk
    )
    assert "Sources\n  [articles:cassini-huygens.md]  Cassini-Huygens" in walk


def test_the_walk_needs_the_table(shown: str, folder: Path) -> None:
    with Catalog(folder) as catalog:
        alone = create_router([catalog.open("articles")]).invoke({"question": FLAGSHIP})
    assert "Cassini" not in alone["answer"]


def test_each_question_gets_its_answer_from_the_knowledge_base_that_has_it(told: dict[str, str]) -> None:
    (anthropic,) = (table for table in model_prices() if table.id == "anthropic")
    (price,) = (row[1] for row in anthropic.rows if row[0] == "claude-haiku-4-5")
    expected = {
        "Who discovered the moon with an orbit of 15.95 days?": "Christiaan Huygens [tables:moons.csv]",
        "What does claude-haiku-4-5 cost per million input tokens?": f"{price} [prices:anthropic]",
        "Which exception does a failed assert statement raise?": "AssertionError [python:assert-statement]",
    }
    for question, answer in expected.items():
        assert f"\n{answer}\n" in told[question]


def test_question_that_nothing_speaks_of_is_not_answered(told: dict[str, str]) -> None:
    unknown = told["Who won the football world cup in 1998?"]
    assert "\nNo answer was found; asked were " in unknown
    assert "Sources" not in unknown


def test_bill_is_of_all_questions_and_adds_up(shown: str) -> None:
    bill = shown.partition("The bill of all questions")[2].partition("Paste next")[0]
    calls = [int(number) for number in re.findall(r"(\d+) calls?", bill)]
    assert sum(calls[:-1]) == calls[-1] == len(re.findall(r"(?m)^    ← kb:", shown))
    assert "0.00 USD" in bill


def test_commands_to_paste_work(shown: str, folder: Path) -> None:
    pasted = [shlex.split(line) for line in shown.partition("Paste next")[2].splitlines() if "polyroute " in line]
    look, ask, model, search, sql, add = pasted
    assert look[1:] == [
        "runs",
        "view",
        "--runs",
        str(folder.with_name("runs")),
        "--kb",
        str(folder),
    ]  # it serves, so that it is not run here
    assert "Great Red Spot [articles:jupiter.md]" in run(*ask).stdout
    assert model[:2] == ask[:2] and "openai/" in " ".join(model)  # it needs a key, so that it is not run here
    assert "Galileo" in run(*search).stdout
    assert "orbiter" in run(*sql).stdout
    added = run(*add[:-1], KNOWLEDGE / "articles" / "titan.md")
    assert added.returncode == 0, added.stderr


def test_its_runs_are_recorded_with_what_is_right_where_that_is_known(shown: str, folder: Path) -> None:
    runs = {run.question: run for run in read_runs(folder.with_name("runs"))}
    assert len(runs) == 5 and {run.status for run in runs.values()} == {"ended"}
    assert runs[FLAGSHIP].metadata["gold"] == ["Cassini"] and len(runs[FLAGSHIP].steps) > 2
    assert all(run.metadata["gold"][0] in run.answer for run in runs.values() if "gold" in run.metadata)


def test_second_run_writes_nothing_and_says_the_same(shown: str, told: dict[str, str], folder: Path) -> None:
    again = run(sys.executable, DEMO, folder)
    assert again.returncode == 0, again.stderr
    assert len(re.findall(r"\d\.\d s *$", shown.partition("───")[0], re.MULTILINE)) == 5
    assert again.stdout.partition("───")[0].count("unchanged") == 5
    for question in told:
        assert question in again.stdout


def test_reference_and_prices_are_whole_and_each_thing_is_in_them_once() -> None:
    sections = list(python_reference())
    assert len(sections) > 100
    assert len({one.id for one in sections}) == len({(one.title, one.text) for one in sections}) == len(sections)
    (statement,) = (one for one in sections if one.title == 'The "pass" statement')
    assert "null operation" in statement.text
    for table in model_prices():
        models = [row[0] for row in table.rows]
        assert len(models) == len(set(models)) > 3
        facts = known(f"{table.id}/{models[0]}") or known(models[0])
        assert facts and facts.price and table.rows[0][1] == f"{facts.price.input:g}"


def test_every_link_of_a_table_is_an_article() -> None:
    articles = {one.id for one in files("articles", "text")}
    links = {one for table in planet_tables() for row in table.links for cell in row for one in cell}
    assert links and links <= articles


def test_what_is_no_folder_prints_the_usage_and_makes_nothing(tmp_path: Path, monkeypatch, capsys) -> None:
    for given, code in ((["--fast"], 2), ([str(tmp_path / "a"), "b"], 2), (["--help"], 0)):
        monkeypatch.setattr(sys, "argv", ["demo.py", *given])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(DEMO), run_name="__main__")
        said = capsys.readouterr()
        assert ended.value.code == code
        assert "python examples/demo.py [FOLDER]" in (said.err if code else said.out)
        assert not (said.out if code else said.err)
    assert not list(tmp_path.iterdir()) and not (ROOT / "--fast").exists()


def test_folder_that_another_process_writes_to_costs_one_sentence(tmp_path: Path) -> None:
    with Catalog(tmp_path) as catalog:
        catalog.create("busy", description="Held by this process.").add([Passage(id="a", text="a")])
        done = run(sys.executable, DEMO, tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(tmp_path) in done.stderr


def test_collection_is_small_whole_and_of_one_mind() -> None:
    files = [path for path in KNOWLEDGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 250_000
    pictures = [path for path in files if path.suffix == ".png"]
    assert len(pictures) >= 4
    for picture in pictures:
        assert picture.stat().st_size < 30_000
        assert picture.with_suffix(".json").is_file(), f"{picture.name} has no words; run examples/knowledge/render.py"

    def rows(name: str) -> list[dict[str, str]]:
        with (KNOWLEDGE / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    planets = {row["planet"] for row in rows("planets")}
    assert {row["planet"] for row in rows("moons")} <= planets
    assert all(int(row["launched"]) <= int(row["arrived"]) for row in rows("missions"))
