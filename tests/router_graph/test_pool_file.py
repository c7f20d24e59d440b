"""Writing into a user's pool file: one card changes, and nothing else."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from router_graph.errors import CardError
from router_graph.pool import Measured
from router_graph.pool.pool_file import load_pool, write_measured

MEASURED = Measured(
    right=9,
    asked=12,
    on="probe tasks",
    date=datetime.date(2026, 1, 31),
    seconds=0.8,
    summary='Right on "tables": #1; wrong on code, ' + ", ".join(["logic"] * 40) + ".",
)
LAYOUTS = {
    "flush": "# top\nmodels:\n# a\n- name: a  # cheap\n  price: free\n\n- name: b\n  price: {input: 0.10, output: 1}\n",
    "indented": "models:\n\n  # a\n  - name: a\n    price: free\n  - name: b\n    price: free\n# end\n",
    "far": "models:\n    - name: a\n      price: free\n    - name: b\n      price: free\n",
    "flow": "models: [{name: a, price: free}, {name: b, price: free}]\n",
    "marked": "---\nmodels:\n- name: a\n  price: &free {input: 0, output: 0}\n- name: 'b'\n  price: *free\n",
    "quoted": 'retries: 0\nmodels:\n- "name": \'a\'\n  price: "free"\n  strengths: |\n    Line.\n    Line.\n'
    "- name: b\n  price: free\n",
    "long": f"models:\n- name: a\n  strengths: {'long ' * 60}line\n  price: free\n- name: b\n  price: free\n",
    "dos": "models:\r\n- name: a\r\n  price: free\r\n- name: b # x\r\n  price: free\r\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["a", "b"])
def test_every_other_line_stays_as_it_was_and_the_card_reads_back(layout: str, name: str, tmp_path: Path):
    path = tmp_path / "pool.yaml"
    path.write_bytes(LAYOUTS[layout].encode())
    before = load_pool(path).cards
    write_measured(path, name, MEASURED)
    after = load_pool(path).cards
    assert after[name].measured == MEASURED
    other = "b" if name == "a" else "a"
    assert after[other] == before[other]
    assert after[name].model_copy(update={"measured": None}) == before[name]
    if layout != "flow":
        lines = iter(path.read_bytes().decode().splitlines(keepends=True))
        assert all(line in lines for line in LAYOUTS[layout].splitlines(keepends=True)), path.read_text()


def test_writing_twice_is_writing_once(tmp_path: Path):
    path = tmp_path / "pool.yaml"
    path.write_text(LAYOUTS["flush"])
    write_measured(path, "a", MEASURED.model_copy(update={"right": 1, "summary": "Old."}))
    write_measured(path, "a", MEASURED)
    once = tmp_path / "once.yaml"
    once.write_text(LAYOUTS["flush"])
    write_measured(once, "a", MEASURED)
    assert path.read_text() == once.read_text()


def test_a_link_stays_a_link_and_the_file_behind_it_is_written(tmp_path: Path):
    real, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    real.write_text(LAYOUTS["flush"])
    link.symlink_to(real)
    write_measured(link, "a", MEASURED)
    assert link.is_symlink()
    assert "measured" in real.read_text()


@pytest.mark.parametrize("text", ["models:\n- name: a\n  name: a\n", "models: [\n", "", "- a\n", "models: 3\n"])
def test_a_file_that_is_no_pool_is_left_alone(text: str, tmp_path: Path):
    path = tmp_path / "pool.yaml"
    path.write_text(text)
    with pytest.raises(CardError, match=r"pool\.yaml"):
        write_measured(path, "a", MEASURED)
    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_card_would_inherit_is_not_written(tmp_path: Path):
    path = tmp_path / "pool.yaml"
    path.write_text("models:\n- &a\n  name: a\n  price: free\n- <<: *a\n  name: b\n")
    before = path.read_text()
    with pytest.raises(CardError, match="by hand"):
        write_measured(path, "a", MEASURED)
    assert path.read_text() == before
    write_measured(path, "b", MEASURED)
    assert [card.measured for card in load_pool(path).cards.values()] == [None, MEASURED]


def test_an_unknown_card_is_an_error_that_names_the_file(tmp_path: Path):
    path = tmp_path / "pool.yaml"
    path.write_text(LAYOUTS["flush"])
    with pytest.raises(CardError, match=r"pool\.yaml: it has no card 'c'"):
        write_measured(path, "c", MEASURED)


def test_comments_below_an_older_measurement_stay(tmp_path: Path):
    path = tmp_path / "pool.yaml"
    old = "  measured:\n    right: 1\n    asked: 2\n    on: by hand\n    date: 2025-01-01  # in the office\n"
    path.write_text(f"models:\n- name: a\n  price: free\n{old}\n# the strong one\n- name: b\n  price: free\n# end\n")
    write_measured(path, "a", MEASURED)
    write_measured(path, "a", MEASURED.model_copy(update={"seconds": None, "summary": "New."}))
    assert load_pool(path).card("a").measured == MEASURED.model_copy(update={"seconds": None, "summary": "New."})
    assert [line for line in path.read_text().splitlines() if "#" in line] == [
        "    date: 2026-01-31  # in the office",
        "# the strong one",
        "# end",
    ]
