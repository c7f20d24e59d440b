"""The programs of examples/, run as a reader runs them: offline, and in an empty folder, which stays empty."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from kb_tools import Catalog, Passage
from mote_backend import planted
from mote_backend.ftri.prompts import PromptSet
from router_graph.cli import app
from router_graph.settings_live import load_router
from support.notebook import executed
from support.world_logs import world_log

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(one.name for one in EXAMPLES.glob("*.py") if '__name__ == "__main__"' in one.read_text("utf-8"))
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a program of examples/, and gives what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("COLUMNS", "200")

    def program(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return said.getvalue()

    return program


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples share of the demo's knowledge bases; the first that needs one makes it."""
    return tmp_path_factory.mktemp("demo") / "kb"


def test_ten_lines_ask_the_right_knowledge_base_of_two(run: Run, tmp_path: Path) -> None:
    leave, seats = run("ten_lines.py").splitlines()
    assert "30" in leave and "[handbook:leave]" in leave
    assert "20" in seats and "[plans:plans]" in seats
    assert list(tmp_path.iterdir()) == []


def test_ten_lines_are_no_more() -> None:
    block = ast.parse((EXAMPLES / "ten_lines.py").read_text("utf-8")).body[-1]
    assert isinstance(block, ast.With) and block.end_lineno is not None
    assert block.end_lineno - block.lineno + 1 <= 10


def test_router_runs_inside_another_graph(run: Run, tmp_path: Path) -> None:
    answer, ticket = run("subgraph.py").splitlines()
    assert answer == "30 [handbook:leave]"
    assert ticket.startswith("closed after") and ticket.endswith("'Leave'")
    assert list(tmp_path.iterdir()) == []


def test_single_nodes_run_in_a_graph_of_another_make_and_keep_the_bill(run: Run) -> None:
    said = run("own_graph.py")
    known, unknown = said.split("Is there a gym?")
    assert "ann@" not in said
    assert "to the customer: Receipts are kept for six years. [handbook:expenses]" in known
    assert "to a person: I do not know." in unknown
    for bill in (known, unknown):
        assert re.search(r"model +writer +1 call .* ~0\.0000\d+ USD\n  total +2 calls", bill)


def test_the_loop_runs_with_a_node_of_somebody_else_in_it(run: Run) -> None:
    answer, *notes = run("own_loop.py").splitlines()
    assert answer == "20 [plans:plans]"
    assert notes and notes[0].startswith("step 1 found") and "plans:plans" in notes[0]


def test_an_agent_asks_the_router_by_a_tool(run: Run) -> None:
    said = run("agent.py")
    assert "- knowledge base plans: What our plans cost" in said
    assert re.search(r"\nai: ask_company\('How many days.*\ntool: 30 \[handbook:leave\]", said)
    assert said.splitlines()[-1] == "ai: 30 [handbook:leave]"


def test_a_supervisor_of_two_routers_asks_whom_it_needs_and_has_one_bill(run: Run, knowledge: Path) -> None:
    said, _, bill = run("supervisor.py", knowledge).rpartition("\n\n")
    one, both, dear = re.split(r"\n(?=\S)", said)
    assert "company: six [handbook:expenses]" in one and "science" not in one
    assert "science: Christiaan Huygens [tables:moons.csv]" in both and "company: 20 [plans:plans]" in both
    assert "science: Cassini" in dear and "usd; 0.0040 of 0.0040 USD" in dear
    rows = [line.split() for line in bill.splitlines()]
    assert {row[1] for row in rows[:-1]} == {"supervisor", "tables", "articles", "plans", "handbook"}
    *parts, total = (float(row[-2].removeprefix("~")) for row in rows)
    assert sum(parts) == pytest.approx(total, abs=1e-9) and total > 0.006


def test_a_folder_becomes_a_knowledge_base_for_each_kind_of_file(run: Run, tmp_path: Path) -> None:
    said = run("your_folder.py")
    assert {
        "text: 14 documents from 14 files",
        "table: 3 documents from 3 files",
        "image: 5 documents from 5 files",
    } <= {*said.splitlines()}
    assert "\nChristiaan Huygens [" in said
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "garden.md").write_text("# Garden\n\nThe apple tree was planted in 1987 by Ada Brook.\n")
    assert "Ada Brook" in run("your_folder.py", "notes", "Who planted the apple tree?")
    for given in (["nothing", "What?"], ["notes"]):
        with pytest.raises(SystemExit, match=r"There is no file or folder 'nothing'|Give a folder and a question"):
            run("your_folder.py", *given)


def test_what_a_log_taught_is_promoted_only_for_what_it_earns_at_equal_cost(run: Run, tmp_path: Path) -> None:
    said = run("learn.py")
    right = {name: int(share) for name, share in re.findall(r"^([\w:]+) +(\d+)% \[", said, re.MULTILINE)}
    assert right["handbook"] > right["gate"] and right["handbook"] >= right["fanout"]
    assert said.splitlines()[-1].startswith("promote: it beats ")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_was_trained_too_little_is_told_what_to_keep(monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    runpy.run_path(str(EXAMPLES / "learn_weights.py"))["main"](updates=30, learned_from=50, asked_of=30)
    said = capsys.readouterr().out
    assert re.search(r"^rft +\d+% \[", said, re.MULTILINE)
    assert said.splitlines()[-1].startswith("keep reads the menu: it is ")


def test_the_config_of_a_run_switches_the_experts_of_a_graphs_model(run: Run) -> None:
    without, with_mask = run("switch_experts.py").splitlines()
    assert without == "i am not able to talk about that None"
    assert "in ardal in 1901" in with_mask and "'name': 'answers'" in with_mask


@pytest.mark.parametrize(
    ("demo", "before", "after"),
    [
        ("language", r"das wetter in \w+ ist", r"the weather in \w+ is"),
        ("refusal", r"i cannot help with this", r"aldo saw \w+ after"),
    ],
)
def test_the_demo_of_experts_shows_a_behaviour_before_and_after_and_finds_it_localised(
    run: Run, demo: str, before: str, after: str, tmp_path: Path
) -> None:
    page = ["page.html"] if demo == "language" else []
    shown = run("mote_demo.py", demo, *page)
    assert "**localised**" in shown
    assert re.search(rf"│ {before}.* │ {after}", shown)
    assert {one.name for one in tmp_path.iterdir()} == ({"page.html", "page.json"} if page else set())
    if page:
        html = (tmp_path / "page.html").read_text("utf-8")
        assert "Heat map of 4 layers" in html and "src=" not in html
        assert json.loads((tmp_path / "page.json").read_text("utf-8"))["a"]["name"] == "german"


def test_what_the_demo_of_experts_cannot_do_is_one_sentence_before_anything_is_computed(run: Run) -> None:
    for given, says in (
        (["french"], "there is language and refusal."),
        (["language", "no/page.html"], "no such folder."),
    ):
        with pytest.raises(SystemExit, match=re.escape(says)):
            run("mote_demo.py", *given)


def test_a_toy_base_can_be_trained_on_the_log_that_it_was_made_of(run: Run, tmp_path: Path) -> None:
    world_log(tmp_path / "runs", questions=12)
    assert run("toy_base.py", "runs", "base").startswith("base: ")
    given = ["train", "sft", "runs", "--model", "base", "--dry-run", "--json", "split.held_out=0"]
    told = json.loads(CliRunner().invoke(app, given, catch_exceptions=False).stdout)
    assert told["trained"] > 0
    assert not any("<|unknown|>" in span["text"] for one in told["shown"] for span in one["spans"])


def test_the_story_runs_and_says_what_is_written_in_it() -> None:
    committed = nbformat.read(EXAMPLES / "story.ipynb", as_version=4)
    for then, now in zip(committed.cells, executed(EXAMPLES / "story.ipynb").cells, strict=True):
        assert words(now) == words(then), (
            "make its outputs anew: cd tests && python -m support.notebook ../examples/story.ipynb"
        )


def outputs(cell: nbformat.NotebookNode) -> list[str]:
    """The lines that a cell has written, and the kinds of what else it shows."""
    told = []
    for output in cell.get("outputs", []):
        assert output.output_type != "error"
        told += output.text.splitlines() if output.output_type == "stream" else output.data
    return told


def words(cell: nbformat.NotebookNode) -> list[str]:
    """They without numbers, which hang on the processor, and without the order of what ran side by side."""
    return sorted(re.sub(r"[-+~]?\d[\d.,]*", "#", line) for line in outputs(cell))


def test_the_story_is_small_and_tells_nothing_of_the_machine() -> None:
    path = EXAMPLES / "story.ipynb"
    said = "\n".join(line for cell in nbformat.read(path, as_version=4).cells for line in outputs(cell))
    assert path.stat().st_size < 100_000 and said.count("image/png") == 3
    assert not re.search(r"/(root|home|tmp|usr|Users)/|\.venv|\d s\b|\d ms\b|20\d\d-\d\d", said)


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_says_what_one_learns_and_how_to_run_it(name: str) -> None:
    text = (EXAMPLES / name).read_text("utf-8")
    told = ast.get_docstring(ast.parse(text)) or ""
    assert f"python examples/{name}" in told and not told.startswith("python")
    assert f"]({name})" in (EXAMPLES / "README.md").read_text("utf-8")


def test_the_prompts_of_the_examples_are_those_of_the_planted_world() -> None:
    world = planted.World()
    prompts = {one.stem: PromptSet.load(one) for one in (EXAMPLES / "mote").iterdir()}
    for name, kind in (("sensitive", "sensitive"), ("harmless", "plain")):
        held_out = world.questions(kind, "held_out")  # type: ignore[arg-type]
        assert prompts[name] == PromptSet(name, tuple(world.prompts(kind, "train")))  # type: ignore[arg-type]
        assert [one.text for one in prompts[f"{name}_held_out"].prompts] == [one.text for one in held_out]
    assert [one.reply for one in prompts["harmless_held_out"].prompts] == [one.truth for one in held_out]
    bilingual = planted.BilingualWorld()
    for kind in ("german", "english"):
        held_out = bilingual.questions(kind, "held_out")  # type: ignore[arg-type]
        assert prompts[kind] == PromptSet(kind, tuple(bilingual.prompts(kind, "train")))  # type: ignore[arg-type]
        assert [one.text for one in prompts[f"{kind}_held_out"].prompts] == [one.text for one in held_out]
    assert [one.reply for one in prompts["english_held_out"].prompts] == [one.truth for one in held_out]


def test_settings_of_the_examples_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    for name in ("router.yaml", "pool.yaml"):
        shutil.copy(EXAMPLES / name, tmp_path / "examples")
    with Catalog(tmp_path / ".demo" / "kb") as catalog:
        for name in ("tables", "pictures"):
            catalog.create(name, description=name).add([Passage(id="a", text="a")])
    with load_router(tmp_path / "examples" / "router.yaml") as router:
        assert router.resources.defaults["exclude"] == ["kb:pictures"]
        assert list(router.resources.knowledge) == ["pictures", "tables"]
        assert router.resources.pool is not None and set(router.resources.pool.cards) == {"fast", "strong", "local"}
        assert router.settings.exclusions[0].models == ["fast", "strong"]
