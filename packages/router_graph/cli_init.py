"""`polyroute init`: a router.yaml with comments, and its schema for editors."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from kb_tools.cli_command import PlainCommand
from router_graph.errors import SettingsError

DEFAULT_FILE, SCHEMA_FILE = "router.yaml", "router.schema.json"

_FOR_EDITORS = f"# yaml-language-server: $schema={SCHEMA_FILE}\n"
TEMPLATE = """\
# A router: whom it may ask, who decides, and what a question may cost. Paths are relative to this file.
# ${VARIABLE} is replaced by an environment variable, ${VARIABLE:-text} by the text where it is not set.
# What is said on the command line stands above POLYROUTE_… variables, and they stand above this file.

# Knowledge bases: a folder, or http://host:port of a Chroma server. Make one: polyroute kb add NAME PATH
knowledge: polyroute-kb
# knowledge:
#   location: ${CHROMA_URL:-http://localhost:8000}
#   only: [handbook, prices]  # not all that are there

# Models: a pool file (see polyroute pool --help), `auto` for pool.yaml if there is one, or its content right here.
pool: auto
# pool:
#   models:
#     - name: fast
#       model: openai/gpt-4o-mini  # its key comes from OPENAI_API_KEY, and never stands in a file
#       strengths: Short facts, reading a passage that is given.

# Who decides at each step. Without a language model: heuristic, gate, fanout, kb:NAME, cheapest, strongest, …
# With one: its name in the pool, or a LiteLLM id such as openai/gpt-4o-mini. Left out, it is heuristic, or cheapest
# where there is no knowledge base.
# policy: heuristic

# How it is spoken to: tags, router_r1, r1_router or tool_calls.
# protocol: tags

# What it should know about whom to ask, where it is a language model; polyroute train reflect --write finds it.
# advice: Ask the handbook first for whatever concerns leave and travel.
# descriptions:
#   kb:handbook: Rules of the company; no names of people.

# What holds for each question.
turn:
  max_steps: 6  # how often it may ask before it must answer
  # usd: 0.05
  # tokens: 20000
  # seconds: 60
  # k: 5  # documents of a search
  # ask_above_usd: 0.02  # a person is asked before a call that may cost more
  # exclude: [llm:strong]
  # shadow: gate  # a second policy, which only logs what it would do

# What these knowledge bases hold never reaches these models, whatever the policy wants.
# exclusions:
#   - knowledge_bases: [handbook]
#     privacy: [external]  # or by name, models: [fast]

# Where the threads of polyroute chat are kept: none, memory, or the path of an SQLite file.
checkpoints: none
"""


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command(cls=PlainCommand)(init)


def init(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="Where to write it.", show_default=DEFAULT_FILE)
    ] = Path(DEFAULT_FILE),
    schema: Annotated[
        bool, typer.Option("--schema", help=f"Write {SCHEMA_FILE} beside it, so that editors know the keys.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a router.yaml with comments, and say what to do next.

    polyroute init --schema
    """
    from kb_tools import terminal

    beside = file.parent / SCHEMA_FILE
    if file.is_dir():
        raise SettingsError(f"{str(file)!r} is a folder; give the path of a file in it, as in {file / DEFAULT_FILE}.")
    there = file.exists() and not force
    if there and not schema:
        raise SettingsError(f"{str(file)!r} is there already; pass --force to write over it, or give another path.")
    if schema:
        from router_graph.settings import router_schema

        _write(beside, json.dumps(router_schema(), indent=2) + "\n")
    if there:
        terminal.console().print(f"Wrote {terminal.one_line(str(beside))}.", soft_wrap=True)
        terminal.note(f"For editors that read it, let {file} begin with: {_FOR_EDITORS.strip()}")
        return
    _write(file, (_FOR_EDITORS if schema else "") + TEMPLATE)
    both = f"{file} and {beside}" if schema else str(file)
    terminal.console().print(f"Wrote {terminal.one_line(both)}.", soft_wrap=True)
    config = "" if str(file) == DEFAULT_FILE else f" --config {shlex.quote(str(file))}"
    terminal.note(f'Next: polyroute kb add NAME PATH, then polyroute ask "…"{config}')


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{str(path)!r} cannot be written ({error.strerror}).") from None
