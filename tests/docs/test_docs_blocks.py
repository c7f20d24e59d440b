"""Every command and every block of code of the README and the site runs as it stands, page by page, in a fresh folder.

What is not run stands in `support.doc_exceptions`, with its reason; the first test counts and prints it (`-rP`).
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from router_graph.pool.pool_file import read_pool_file
from router_graph.settings import read_settings
from support.doc_blocks import ROOT, Block, blocks, pages
from support.doc_exceptions import NOT_RUN, PARSED, PYTHON, reason
from support.doc_pages import BETWEEN, PAGES, Before, nothing, ready
from support.doc_shell import Shell, free_port, lines_of, without_input
from support.doc_zygote import zygote
from support.model_server import ModelServer

PORTS = ("8000", "8010", "8100", "8200", "8300")
"""What pages call a port: each test has its own."""

SPLIT = {"README.md": "Switchable experts"}
"""Where a page is cut, so that no test takes long: its second part begins with what the first one begins with."""


def test_what_is_not_run_is_listed_and_counted_and_no_exception_is_idle() -> None:
    count, whole = Counter[str](), 0
    for block in (block for page in pages() for block in blocks(page)):
        if block.language == "shell":
            for line in lines_of(block.text):
                whole += bool(line.strip(" :"))
                count[reason(line, NOT_RUN) or reason(without_input(line), PARSED) or ""] += 1
        elif block.language == "python":
            whole += 1
            count[_left_out(block) or ""] += 1
    known = [*(one.reason for one in (*NOT_RUN, *PARSED)), *PYTHON.values()]
    told = {why: count[why] for why in known}
    sys.stdout.write(f"{sum(told.values())} of {whole} commands and blocks are not run:\n")
    sys.stdout.writelines(f"{n:4} {why}\n" for why, n in told.items())
    assert [why for why, n in told.items() if n == 0] == []
    assert sum(told.values()) < 0.4 * whole


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with zygote(tmp_path_factory.mktemp("z"), meanwhile=ready) as folder:
        yield folder


@pytest.fixture(scope="module")
def provider() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def shell(tmp_path: Path, commands: Path, provider: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    known = {
        "OPENAI_API_KEY": "sk-none",
        "OPENAI_API_BASE": provider.url,
        "OPENAI_BASE_URL": provider.url,
        "AZURE_API_KEY": "none",
        "MY_ANTHROPIC_KEY": "none",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "packages"), str(ROOT / "training")]),
        "BROWSER": "true",  # a command that opens nothing
        "DOC_SERVERS": str(tmp_path / ".shell" / "servers"),
    }
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    made = Shell(tmp_path, commands)
    yield made
    made.close()


def _parts() -> Iterator[Any]:
    """Pages with blocks, each with the lines of a test; a long one has two tests."""
    for page in pages():
        text = (ROOT / page).read_text(encoding="utf-8")
        middle = text[: text.index(f"\n## {SPLIT[page]}\n")].count("\n") if page in SPLIT else text.count("\n")
        for n, lines in enumerate((range(middle), range(middle, text.count("\n") + 1))):
            if any(block.line in lines for block in blocks(page)):
                yield pytest.param(page, lines, id=f"{page}-{n + 1}" if page in SPLIT else page)


@pytest.mark.parametrize(("page", "lines"), _parts())
def test_blocks_of_page_run(page: str, lines: range, shell: Shell, provider: ModelServer) -> None:
    def command(line: str) -> str:
        return shell.run(Block(page, 0, "shell", line))

    ports = {port: free_port() for port in PORTS}
    with PAGES.get(page, nothing)(Before(shell.folder, provider, command, ports)) as given:
        namespace: dict[str, Any] = {}
        for block in (block for block in blocks(page) if block.line in lines):
            text = block.text
            for named, free in ports.items():
                text = text.replace(f":{named}", f":{free}").replace(f"--port {named}", f"--port {free}")
            for (where, begins), line in BETWEEN.items():
                if where == page and text.startswith(begins):
                    command(line)
            namespace.update(given)  # a block may close what it made under the same name
            _RUN[block.language](Block(block.page, block.line, block.language, text), shell, namespace)


def _python(block: Block, shell: Shell, namespace: dict[str, Any]) -> None:
    if _left_out(block):
        return
    tree = compile(
        "\n" * (block.line - 1) + block.text,
        str(ROOT / block.page),
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(tree, namespace)
    for told in re.findall(r"^ *print\(.*\)  # (.+)$", block.text, re.MULTILINE):
        assert told in said.getvalue().splitlines(), f"{block} says that it prints {told!r}:\n{said.getvalue()}"


def _left_out(block: Block) -> str | None:
    found = (why for module, why in PYTHON.items() if re.search(rf"^from {re.escape(module)}\b", block.text, re.M))
    return next(found, None)


def _yaml(block: Block, shell: Shell, namespace: dict[str, Any]) -> None:
    """A pool file or a router.yaml, read by what reads it; it lies in the folder from now on."""
    content = YAML(typ="safe", pure=True).load(block.text)
    is_pool = bool({"models", "mote", "fallbacks", "replies"} & set(content))
    path = shell.folder / ("pool.yaml" if is_pool else "router.yaml")
    path.write_text(block.text, encoding="utf-8")
    read_pool_file(path) if is_pool else read_settings(path)


def _json(block: Block, shell: Shell, namespace: dict[str, Any]) -> None:
    json.loads(block.text)


def _nobody_knows(block: Block, shell: Shell, namespace: dict[str, Any]) -> None:
    pytest.fail(f"{block}: a block without a language; give it one, `text` where nobody runs it.\n{block.text}")


_RUN: dict[str, Callable[[Block, Shell, dict[str, Any]], Any]] = {
    "python": _python,
    "shell": lambda block, shell, namespace: shell.run(block),
    "yaml": _yaml,
    "json": _json,
    "text": lambda block, shell, namespace: None,
    "": _nobody_knows,
}
