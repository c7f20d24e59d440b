"""`polyroute init`: what it writes loads, and nothing is written over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from router_graph.cli import app
from router_graph.settings import VARIABLES, read_settings, router_schema


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "POLYROUTE_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def run(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [*map(str, args)])
    assert result.exit_code == code, result.output
    return result


def test_it_writes_a_file_that_loads_and_says_what_to_do_next():
    result = run("init")
    assert result.stdout == "Wrote router.yaml.\n"
    assert result.stderr == 'Next: polyroute kb add NAME PATH, then polyroute ask "…"\n'
    assert read_settings().settings.turn.max_steps == 6
    assert not Path("router.schema.json").exists()
    assert "yaml-language-server" not in Path("router.yaml").read_text()


def test_asking_with_it_where_there_is_nothing_says_what_to_do():
    run("init")
    asked = run("ask", "Anything?", code=1)
    assert asked.stderr.startswith("polyroute: There is nobody to ask: no knowledge base in ")
    assert "polyroute kb add NAME PATH" in asked.stderr


def test_a_file_elsewhere_is_named_in_the_next_command():
    assert run("init", "my router.yaml").stderr.endswith("--config 'my router.yaml'\n")
    assert read_settings("my router.yaml").settings.knowledge.location == "polyroute-kb"


def test_it_writes_over_nothing_unless_it_must():
    Path("router.yaml").write_text("policy: gate\n")
    assert "pass --force" in run("init", code=1).stderr
    assert Path("router.yaml").read_text() == "policy: gate\n"
    run("init", "--force")
    assert "max_steps" in Path("router.yaml").read_text()


def test_with_the_schema_the_first_line_leads_editors_to_it():
    assert run("init", "--schema").stdout == "Wrote router.yaml and router.schema.json.\n"
    first = Path("router.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=router.schema.json"
    assert json.loads(Path("router.schema.json").read_text()) == router_schema()
    assert read_settings().settings.turn.max_steps == 6


def test_the_schema_alone_is_written_beside_a_file_that_is_there():
    Path("router.yaml").write_text("policy: gate\n")
    result = run("init", "--schema")
    assert Path("router.schema.json").exists()
    assert Path("router.yaml").read_text() == "policy: gate\n"
    assert "# yaml-language-server: $schema=router.schema.json" in result.stderr


@pytest.mark.parametrize(("path", "says"), [(".", "is a folder"), ("no/where.yaml", "cannot be written")])
def test_a_place_that_cannot_be_written_is_told_in_one_sentence(path: str, says: str):
    result = run("init", path, code=1)
    assert result.stderr.startswith("polyroute: ")
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
