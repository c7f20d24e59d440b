"""The viewer's files put together: its modules as one script, its styles as one sheet, and the page that names them.

They are written as modules, one concern each, and served as one: a request each would take longer than drawing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z_]+)\.js";[ \t]*\n?', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.MULTILINE)
_OTHER_MODULE = re.compile(r"^(?:import|export)\b", re.MULTILINE)
_STYLE = re.compile(r'[ \t]*<link rel="stylesheet" href="static/([a-z_]+\.css)">\n?')
_SCRIPT = re.compile(r'[ \t]*<script type="module" src="static/([a-z_]+)\.js"></script>\n?')


@dataclass(frozen=True, slots=True)
class Parts:
    """What the page is made of."""

    page: str
    """index.html without its links to styles and modules."""
    style: str
    script: str


def parts_of(static: Path) -> Parts:
    """Of the files in a folder as they are now."""
    newest = max(one.stat().st_mtime_ns for one in static.iterdir())
    return _parts(static, newest)


@lru_cache(maxsize=4)
def _parts(static: Path, newest: int) -> Parts:
    page = (static / "index.html").read_text(encoding="utf-8")
    style = "\n".join((static / name).read_text(encoding="utf-8") for name in _STYLE.findall(page))
    entry = _SCRIPT.search(page)
    script = "" if entry is None else bundle(static, entry[1])
    return Parts(_SCRIPT.sub("", _STYLE.sub("", page)), style, script)


def with_parts(page: str, head: str, end: str) -> str:
    """The page with something before its title, and something at its end."""
    page = _before(page, "<title>", head) if "<title>" in page else head + page
    return _before(page, "</body>", end) if "</body>" in page else page + end


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
