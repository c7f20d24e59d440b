"""The pool of models: its cards, the names of their keys, and whether their servers listen. Nobody is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from router_graph.doctor.finding import Finding, mending, ok, problem, warning
from router_graph.doctor.servers import all_reachable
from router_graph.errors import RouterError
from router_graph.pool.local_model import PROVIDER

if TYPE_CHECKING:
    from router_graph.pool.card import ModelCard
    from router_graph.pool.pool import ModelPool
    from router_graph.settings import Sources

_OLLAMA = "http://127.0.0.1:11434"


def pool_of(sources: Sources) -> ModelPool | None:
    """The pool of the settings. Raises `RouterError`."""
    from router_graph.pool.pool_file import load_pool
    from router_graph.pool.pool_file import pool_of as made

    if (path := sources.pool_path()) is not None:
        return load_pool(path)
    return made(sources.settings.pool, sources.file.folder) if sources.settings.pool.file is None else None


def models(sources: Sources, *, offline: bool) -> Iterator[Finding]:
    """What the pool's cards need, and whether it is there."""
    path = sources.pool_path()
    file = path or Path(sources.file.name)
    edit = mending(file)
    try:
        pool = pool_of(sources)
    except RouterError as error:
        yield problem(str(error).rstrip("."), edit)
        return
    if pool is None:
        yield ok("No pool of models: knowledge bases are asked alone", "polyroute pool list --help")
        return
    cards = list(pool.cards.values())
    yield ok(f"{file}: {len(cards)} model{'' if len(cards) == 1 else 's'}, each with a price")
    yield from _keys(cards)
    yield from _servers(cards, edit, offline=offline)
    yield from _here(cards)


def _keys(cards: list[ModelCard]) -> Iterator[Finding]:
    from router_graph.cli_pool_facts import facts

    lacking: dict[str, list[str]] = {}
    for card in cards:
        key = facts(card)["key"]
        if key["state"] == "not set":
            lacking.setdefault(key["variable"], []).append(card.name)
        elif key["state"] == "set":
            yield ok(f"{card.name}: its key is in {key['variable']}")
        elif key["state"] == "unknown":
            yield ok(f"{card.name}: where its key is read from is not known here", f"polyroute pool test {card.name}")
    for variable, names in lacking.items():
        yield warning(f"{', '.join(names)}: the key {variable} is not set", f"export {variable}=…")


def _servers(cards: list[ModelCard], edit: str, *, offline: bool) -> Iterator[Finding]:
    asked = {card.name: url for card in cards if (url := _server(card)) is not None}
    if offline:
        if asked:
            yield ok(f"Servers of {', '.join(asked)}: not looked at (--offline)")
        return
    found = all_reachable(asked.values())
    for name, url in asked.items():
        shown = _without_login(url)
        why = found[url]
        if why is None:
            yield ok(f"{name}: its server {shown} listens")
        elif url == _OLLAMA:
            yield problem(f"{name}: its server {shown} {why}", "ollama serve")
        else:
            yield problem(f"{name}: its server {shown} {why}; start it, or give another api_base", edit)


def _server(card: ModelCard) -> str | None:
    if card.transport != "litellm":
        return None
    if card.api_base is None and card.id.partition("/")[0] in ("ollama", "ollama_chat"):
        return os.environ.get("OLLAMA_API_BASE") or _OLLAMA
    return card.api_base


def _here(cards: list[ModelCard]) -> Iterator[Finding]:
    """Models that run in this process."""
    names = [card.name for card in cards if card.transport == "litellm" and card.id.startswith(PROVIDER)]
    lacking = [one for one in ("torch", "transformers", "llguidance") if find_spec(one) is None]
    if not names:
        return
    if lacking:
        yield problem(
            f"{', '.join(names)}: run in this process, and {', '.join(lacking)} is missing",
            "pip install 'polyroute[mote]'",
        )
    else:
        yield ok(f"{', '.join(names)}: run in this process; their models and masks are there")


def _without_login(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
