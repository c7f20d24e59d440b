"""The demo, run as a newcomer runs it: a process of its own, and the commands that it says to paste."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kb_tools import Catalog, Passage

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo.py"
KNOWLEDGE = ROOT / "examples" / "knowledge"


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=90,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "PYTHONUTF8": "1"},
    )


def after(text: str, *landmarks: str) -> str:
    """What follows the landmarks, which must come in this order."""
    for landmark in landmarks:
        before, found, text = text.partition(landmark)
        assert found, f"{landmark!r} is missing in:\n{before}"
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "knowledge bases"  # a name that a shell must be told to keep whole


@pytest.fixture(scope="module")
def shown(folder: Path) -> str:
    done = run(sys.executable, DEMO, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_walk_goes_from_a_table_by_sql_to_the_passage_with_the_answer(shown: str) -> None:
    steps = after(
        shown,
        "with the lowest density, and what did it find?",
        "1. tables",
        "planets.csv",
        "2. tables",
        "Saturn",
        "687",
        "3. articles",
        "first spacecraft to orbit Saturn",
        "cassini-huygens.md",
    )
    marked = [line.strip("│ ") for line in steps.splitlines() if line.startswith("│ >")]
    assert [line.split()[1] for line in marked] == ["Cassini", "In"]
    assert "first spacecraft to orbit Saturn" in marked[0]
    assert "found jets of water" in marked[1]


def test_question_asked_at_once_does_not_find_the_passage_that_the_walk_finds(shown: str) -> None:
    at_once = re.search(r"as it stands, it finds: (.*?)\. One", shown, re.DOTALL)
    assert at_once
    assert "Cassini" not in at_once[1]


def test_picture_is_found_by_words_and_by_its_own_pixels(shown: str) -> None:
    rest = after(shown, "1. pictures", "lexical #1", "densities.png", "2. pictures", "visual #1")
    assert "densities.png" in rest.splitlines()[1]


def test_commands_to_paste_work(shown: str) -> None:
    pasted = [shlex.split(line) for line in after(shown, "Paste next").splitlines() if " kb " in line]
    assert [command[2] for command in pasted] == ["search", "sql", "add"]
    search, sql, add = pasted
    assert "Galileo" in run(*search).stdout
    assert "orbiter" in run(*sql).stdout
    added = run(*add[:-1], KNOWLEDGE / "articles" / "titan.md")
    assert added.returncode == 0, added.stderr


def test_second_run_writes_nothing_and_says_so(shown: str, folder: Path) -> None:
    again = run(sys.executable, DEMO, folder)
    assert again.returncode == 0, again.stderr
    assert re.findall(r"\d+ (added|updated|unchanged|removed) from", shown) == ["added"] * 3
    assert re.findall(r"\d+ (added|updated|unchanged|removed) from", again.stdout) == ["unchanged"] * 3
    assert "found jets of water" in again.stdout


def test_what_is_no_folder_prints_the_usage_and_makes_nothing(tmp_path: Path) -> None:
    for given in (["--fast"], [tmp_path / "a", "b"]):
        done = run(sys.executable, DEMO, *given)
        assert (done.returncode, done.stdout) == (2, "")
        assert "python examples/demo.py [FOLDER]" in done.stderr
    assert run(sys.executable, DEMO, "--help").returncode == 0
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
