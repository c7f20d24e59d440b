"""Figures in a document, each section written by the command that measured it and never by hand."""

from __future__ import annotations

import re
from pathlib import Path

from router_graph.errors import EvaluationError

_HEAD = """# Benchmarks

Each section is written by the command that stands in it (`polyroute eval … --write-docs`), and by nothing else.
"""


def put(path: Path, name: str, section: str) -> None:
    """Put a section into the document, in the place of the one of this name if there is one; the rest stays as it is.

    Raises `EvaluationError` where it cannot be written.
    """
    begin, end = f"<!-- eval: {name} -->", f"<!-- end: {name} -->"
    block = f"{begin}\n{section.strip()}\n{end}"
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else _HEAD
        known = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        text = known.sub(lambda _: block, text) if known.search(text) else f"{text.rstrip()}\n\n{block}\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"The figures cannot be written into {path} ({error}).") from None
