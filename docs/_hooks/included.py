"""`<!-- include: FILE -->`: what stands elsewhere in the repository, without its first line, which is its heading."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from links import ROOT, relinked

_INCLUDE = re.compile(r"^<!-- include: (?P<file>\S+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Any, **about: Any) -> str:
    """The page with what it includes."""

    def text(found: re.Match[str]) -> str:
        path = ROOT / found["file"]
        below = path.read_text(encoding="utf-8").partition("\n")[2]
        return relinked(below, path.parent, page.file.src_uri)

    return _INCLUDE.sub(text, markdown)
