"""The programs of examples/, run as a reader runs them: offline, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kb_tools import Catalog, Passage
from mote_backend import planted
from mote_backend.ftri.prompts import PromptSet
from router_graph.settings_live import load_router
from support.world_logs import world_log

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, folder: Path, *arguments: str, quiet: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1", "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    assert not quiet or done.stderr == ""
    return done.stdout


def test_ten_lines_ask_the_right_knowledge_base_of_two(tmp_path: Path) -> None:
    leave, seats = run("ten_lines.py", tmp_path).splitlines()
    assert "30" in leave and "[handbook:leave]" in leave
    assert "20" in seats and "[plans:plans]" in seats


def test_router_runs_inside_another_graph_and_one_of_its_nodes_alone(tmp_path: Path) -> None:
    whole, *single = run("subgraph.py", tmp_path).splitlines()
    assert "30" in whole and "closed after" in whole and "'Leave'" in whole
    assert single[0].startswith("a single node: [handbook:leave]")


def test_the_config_of_a_run_switches_the_experts_of_a_graphs_model(tmp_path: Path) -> None:
    without, with_mask = run("switch_experts.py", tmp_path, quiet=False).splitlines()  # transformers shows a bar
    assert without == "i am not able to talk about that None"
    assert "in ardal in 1901" in with_mask and "'name': 'answers'" in with_mask


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


@pytest.mark.parametrize(
    ("demo", "before", "after"),
    [
        ("language", r"das wetter in \w+ ist", r"the weather in \w+ is"),
        ("refusal", r"i cannot help with this", r"aldo saw \w+ after"),
    ],
)
def test_the_demo_of_experts_shows_a_behaviour_before_and_after_and_finds_it_localised(
    demo: str, before: str, after: str, tmp_path: Path
) -> None:
    shown = run("mote_demo.py", tmp_path, demo)
    assert "**localised**" in shown
    assert re.search(rf"│ {before}.* │ {after}", shown)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ten_lines.py", "subgraph.py"])
def test_example_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    run(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


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


def test_a_toy_base_can_be_trained_on_the_log_that_it_was_made_of(tmp_path: Path) -> None:
    world_log(tmp_path / "runs", questions=12)
    assert run("toy_base.py", tmp_path, "runs", "base", quiet=False).startswith("base: ")
    given = ["train", "sft", "runs", "--model", "base", "--dry-run", "--json", "split.held_out=0"]
    done = subprocess.run(
        [sys.executable, "-m", "router_graph.cli", *given], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    told = json.loads(done.stdout)
    assert told["trained"] > 0
    assert not any("<|unknown|>" in span["text"] for one in told["shown"] for span in one["spans"])
