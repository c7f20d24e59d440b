"""`![words](img/NAME.svg)` alone in a line: the picture becomes part of the page, so that it has the page's colours."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

_PICTURE = re.compile(r"^!\[(?P<words>[^\]]+)\]\((?P<path>[^)\s]+\.svg)\)$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Any, **about: Any) -> str:
    """The page with its drawings in it."""
    folder = Path(page.file.abs_src_path).parent
    return _PICTURE.sub(
        lambda found: _inside((folder / found["path"]).read_text(encoding="utf-8"), found["words"]), markdown
    )


def _inside(svg: str, words: str) -> str:
    drawing = "".join(line.strip() for line in svg.splitlines())
    drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{escape(words)}" ', 1)
    return f'<figure class="drawn">{drawing}</figure>'
