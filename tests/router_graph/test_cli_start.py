"""`polyroute` alone: what is here, and commands that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from router_graph.cli import app
from support.handbook import make_shelf
from support.run_logs import whole_run, write


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POLYROUTE_KB", raising=False)


def start() -> str:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0 and result.stderr == ""
    assert len(result.stdout.splitlines()) <= 15
    return result.stdout


def named(said: str) -> list[str]:
    """The commands that a text tells to paste."""
    return re.findall(r"^  polyroute ((?:[a-z]+ ?)+)", said, re.MULTILINE)


def test_an_empty_folder_gets_the_first_two_commands_and_help():
    said = start()
    assert "No knowledge base yet" in said
    assert re.search(r"polyroute kb add mine .*\n +polyroute ask ", said)
    assert "polyroute doctor" in said and "polyroute --help" in said


def test_in_the_repository_they_can_be_pasted_as_they_are(tmp_path: Path):
    (tmp_path / "examples").symlink_to(Path(__file__).resolve().parents[2] / "examples")
    said = start()
    assert "polyroute kb add articles examples/knowledge/articles" in said and "make demo" in said


def test_what_is_here_is_told_with_what_comes_next(tmp_path: Path):
    make_shelf(tmp_path / "polyroute-kb")
    write(tmp_path / "runs", whole_run("a"))
    Path("router.yaml").write_text("policy: gate\nknowledge: polyroute-kb\n")
    Path("pool.yaml").write_text("models:\n  - {name: fast, model: openai/gpt-4o-mini}\n  - {name: slow}\n")
    said = start()
    assert "polyroute-kb: handbook (text), hostile (text)" in said
    assert "router.yaml: policy gate, knowledge polyroute-kb" in said
    assert "pool.yaml: fast, slow" in said and "runs: runs that were recorded" in said
    assert {"ask", "kb search", "chat", "pool list", "runs view"} <= {
        one.split(" handbook")[0].strip() for one in named(said)
    }


def test_what_the_demo_left_is_told_where_there_is_nothing_else(tmp_path: Path):
    make_shelf(tmp_path / ".demo/kb")
    write(tmp_path / ".demo/runs", whole_run("a"))
    said = start()
    assert "Knowledge bases in .demo/kb" in said and "polyroute runs view -r .demo/runs -C .demo/kb" in said
    write(tmp_path / "runs", whole_run("b"))
    assert ".demo/runs" not in start()


def test_it_names_no_command_that_there_is_not(tmp_path: Path):
    make_shelf(tmp_path / "polyroute-kb")
    write(tmp_path / "runs", whole_run("a"))
    for name in ("router.yaml", "pool.yaml"):
        Path(name).write_text("models: []\n")
    root = typer.main.get_command(app)
    for command in named(start()):
        group = root
        for word in command.split():
            if not hasattr(group, "commands"):
                break
            group = group.commands[word]
        assert not hasattr(group, "commands")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00garbage", b"[1, 2", b"- 1", b"models: 7\nknowledge: {location: [1]}", b"a: &a [*a]"]
)
def test_files_that_are_no_settings_are_told_without_a_traceback(content: bytes):
    for name in ("router.yaml", "pool.yaml", "polyroute-kb"):
        Path(name).write_bytes(content)
    said = start()
    assert "router.yaml: " in said and "pool.yaml: " in said


def test_a_database_that_is_none_is_no_knowledge_base(tmp_path: Path):
    (tmp_path / "polyroute-kb").mkdir()
    (tmp_path / "polyroute-kb" / "chroma.sqlite3").write_text("no database")
    assert "No knowledge base yet" in start()


def test_it_loads_nothing_heavy():
    heavy = "{'chromadb', 'torch', 'litellm', 'langgraph', 'langchain_core', 'transformers', 'numpy'}"
    code = "import sys; from router_graph.cli import app; app([], standalone_mode=False); "
    code += f"print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
