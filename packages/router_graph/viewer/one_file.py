"""A run as one HTML file that needs nothing else: the viewer's own pages with the data in them, without secrets.

What may run in it is named by its hash, so that a text of the run that got into the page as code would not.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from router_graph.trajectories.cut import each_text
from router_graph.trajectories.redact import Secrets
from router_graph.trajectories.shards import as_json

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z_]+)\.js";[ \t]*\n?', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.MULTILINE)
_OTHER_MODULE = re.compile(r"^(?:import|export)\b", re.MULTILINE)
_STYLE = re.compile(r'[ \t]*<link rel="stylesheet" href="static/([a-z_]+\.css)">\n?')
_PRELOAD = re.compile(r'[ \t]*<link rel="modulepreload"[^>]*>\n?')
_SCRIPT = re.compile(r'[ \t]*<script type="module" src="static/([a-z_]+)\.js"></script>\n?')


def one_file(static: Path, about: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """The page of one run. Keys, tokens, passwords and e-mail addresses in any of its texts are taken out."""
    page = _PRELOAD.sub("", (static / "index.html").read_text(encoding="utf-8"))
    style = "\n".join((static / name).read_text(encoding="utf-8") for name in _STYLE.findall(page))
    entry = _SCRIPT.search(page)
    script = "" if entry is None else bundle(static, entry[1])
    if "</script" in script or "</style" in style:
        raise ValueError("The viewer's own files hold an end tag, which would end them in a page.")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    data = as_json(without_secrets({"about": about, "run": run})).decode().replace("<", "\\u003c")
    page = _SCRIPT.sub("", _STYLE.sub("", page))
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{style}</style>\n'
    end = f'<script type="application/json" id="data">{data}</script>\n<script type="module">{script}</script>\n'
    page = _before(page, "<title>", head) if "<title>" in page else head + page
    return _before(page, "</body>", end) if "</body>" in page else page + end


def about_export() -> dict[str, Any]:
    """What the pages of a file have to know: nothing of this machine, and nothing that needs a server."""
    can = {"ask": False, "fork": False, "label": False}
    facts: dict[str, Any] = {"version": version_here(), "log": "", "runs": 1, "damaged": 0, "can": can}
    return {**facts, "indexing": None, "router": None, "policies": [], "mote": [], "fields": []}


def version_here() -> str:
    """Of polyroute; empty where it runs from a folder."""
    try:
        return version("polyroute")
    except PackageNotFoundError:
        return ""


def without_secrets(data: Any) -> Any:
    """The same, with every text redacted, and whole what stands under the name of a secret."""
    secrets = Secrets(emails=True)
    return each_text(data, secrets, secrets.hides)


def bundle(static: Path, entry: str) -> str:
    """The modules that an entry needs as one script, each in a function of its own, in order of need.

    Raises `ValueError` for imports and exports of another form than `import { a } from "./x.js"` and
    `export function|async function|class|const NAME`, and for cycles.
    """
    made: dict[str, str] = {}
    _add(static, entry, made, ())
    return "\n".join(made.values())


def _add(static: Path, name: str, made: dict[str, str], outside: tuple[str, ...]) -> None:
    if name in made:
        return
    if name in outside:
        raise ValueError(f"{name}.js needs itself, by way of {outside[-1]}.js.")
    code = (static / f"{name}.js").read_text(encoding="utf-8")
    for _, needed in _IMPORT.findall(code):
        _add(static, needed, made, (*outside, name))
    names = ", ".join(_EXPORT.findall(code))
    body = _IMPORT.sub(lambda found: f"const {{{found[1]}}} = ${found[2]};\n", _EXPORT.sub("", code))
    if other := _OTHER_MODULE.search(body):
        line = body[other.start() :].partition("\n")[0]
        raise ValueError(f"{name}.js has {line!r}, which cannot be put into one file.")
    made[name] = f"const ${name} = (() => {{\n{body}\nreturn {{ {names} }};\n}})();"


def _before(page: str, mark: str, text: str) -> str:
    start, found, rest = page.partition(mark)
    return f"{start}{text}{found}{rest}"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
