"""`polyroute` alone: what is here, and what can be done next with it. It opens nothing that takes time."""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kb_tools.cli_add import DEFAULT_FOLDER, FOLDER_VARIABLE
from router_graph.cli_init import DEFAULT_FILE as SETTINGS_FILE
from router_graph.cli_pool import DEFAULT_FILE as POOL_FILE
from router_graph.cli_runs import DEFAULT_FOLDER as RUNS_FOLDER

_DEMO_FOLDER = ".demo/kb"
_DEMO_RUNS = ".demo/runs"
_ARTICLES = "examples/knowledge/articles"
_QUESTION = "Which spacecraft first orbited the planet with the lowest density?"
_NAMED = 4


def show() -> None:
    """Print it on stdout: at most 15 lines."""
    from kb_tools import terminal

    lines = ["Polyroute learns, step by step, where to ask next. Here:", *_here(), "", *_always()]
    terminal.console().print("\n".join(map(terminal.one_line, lines)), soft_wrap=True)


def _here() -> Iterator[str]:
    settings = _read(Path(SETTINGS_FILE))
    bases = list(_knowledge(settings))
    yield from bases or _first_steps()
    if settings is not None:
        said = [f"{key} {_word(settings[key])}" for key in ("policy", "knowledge", "pool") if key in settings]
        yield f"{SETTINGS_FILE}: {', '.join(said) or 'settings'}" if settings else f"{SETTINGS_FILE}: cannot be read"
        yield "  polyroute chat" if settings else f"  polyroute doctor -c {SETTINGS_FILE}"
    if (pool := _read(Path(POOL_FILE))) is not None:
        cards = pool.get("models")
        cards = cards if isinstance(cards, list) else []
        names = [str(one.get("name", "?")) for one in cards if isinstance(one, Mapping)]
        yield f"{POOL_FILE}: {_listed(names) or 'no models'}"
        yield "  polyroute pool list"
    runs = _word((settings or {}).get("runs") or RUNS_FOLDER)
    for folder in dict.fromkeys((runs, _DEMO_RUNS)):
        if days := sorted({one.parent.name for one in Path(folder).glob("[0-9]*-*/*.jsonl")}):
            yield f"{folder}: runs that were recorded, the last on {days[-1]}"
            where = "" if folder == RUNS_FOLDER else f" -r {shlex.quote(folder)}"
            yield f"  polyroute runs view{where}{f' -C {_DEMO_FOLDER}' if folder == _DEMO_RUNS else ''}"
            yield f"  polyroute train handbook {shlex.quote(folder)}"
            return


def _first_steps() -> Iterator[str]:
    yield "No knowledge base yet. Make one, and ask:"
    if Path(_ARTICLES).is_dir():
        yield f"  polyroute kb add articles {_ARTICLES}"
        yield f'  polyroute ask "{_QUESTION}"'
    else:
        yield "  polyroute kb add mine FOLDER   (md, txt, html, pdf, docx, csv, xlsx, jsonl, png, …)"
        yield '  polyroute ask "what you want to know"'


def _always() -> list[str]:
    there = Path("examples/demo.py").is_file()
    return [
        f"  {'make demo' if there else 'polyroute init':<18}{'a tour in a minute' if there else 'a router.yaml'}",
        f"  {'polyroute doctor':<18}is all that is needed here, and what to do if not",
        f"  {'polyroute --help':<18}all commands; each has an example in its own --help",
    ]


def _knowledge(settings: Mapping[str, Any] | None) -> Iterator[str]:
    told = (settings or {}).get("knowledge")
    told = told.get("location") if isinstance(told, Mapping) else told
    given = os.environ.get(FOLDER_VARIABLE) or (str(told) if told else DEFAULT_FOLDER)
    if "://" in given or "${" in given:
        yield f"Knowledge bases of {given}"
        yield '  polyroute ask "what you want to know" --why'
        return
    for folder in dict.fromkeys((given, _DEMO_FOLDER)):
        if names := knowledge_in(Path(folder)):
            option = "" if folder == given else f" -C {folder}"
            yield f"Knowledge bases in {folder}: {_listed(names)}"
            yield f'  polyroute ask "what you want to know"{option} --why'
            yield f'  polyroute kb search {names[0].split()[0]} "words to look for"{option}'
            return


def knowledge_in(folder: Path) -> list[str]:
    """The knowledge bases of a folder, as `articles (text)`; none where it cannot be read. Chroma is not loaded."""
    file = folder.absolute() / "chroma.sqlite3"
    query = (
        "SELECT c.name, m.str_value FROM collections c JOIN collection_metadata m ON m.collection_id = c.id "
        "WHERE m.key = 'kb:modality' AND c.name LIKE 'kb.%' AND c.name NOT LIKE '%.visual' ORDER BY c.name"
    )
    if file.is_file():
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=0.2)) as database,
        ):
            return [f"{name.removeprefix('kb.')} ({modality})" for name, modality in database.execute(query)]
    return []


def _read(path: Path) -> dict[str, Any] | None:
    """What a YAML file says; None where there is none, and nothing where it says nothing that can be read."""
    import yaml

    if not path.exists():
        return None
    with contextlib.suppress(OSError, ValueError, yaml.YAMLError, RecursionError):
        if isinstance(said := yaml.safe_load(path.read_text(encoding="utf-8")), dict):
            return said
    return {}


def _word(value: Any) -> str:
    return " ".join(value.split())[:60] if isinstance(value, str) else "in the file"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(name[:60] for name in names[:_NAMED]) + more
