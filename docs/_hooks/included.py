"""`<!-- include: FILE -->` and `<!-- include: FILE # HEADING -->`: what stands elsewhere in the repository, once."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from links import ROOT, relinked  # noqa: E402

_INCLUDE = re.compile(r"^<!-- include: (?P<file>\S+)(?: # (?P<heading>.+?))? -->$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Any, **about: Any) -> str:
    """The page with what it includes. Raises `LookupError` for a heading that is gone, so that the build fails."""

    def text(found: re.Match[str]) -> str:
        path = ROOT / found["file"]
        whole = path.read_text(encoding="utf-8")
        part = section(whole, found["heading"]) if found["heading"] else whole.partition("\n")[2]
        return relinked(part, path.parent, page.file.src_uri)

    return _INCLUDE.sub(text, markdown)


def section(markdown: str, heading: str) -> str:
    """What stands below a heading, up to the next one that is as high; without the heading itself."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", markdown, re.MULTILINE)
    if found is None:
        raise LookupError(f"There is no heading {heading!r}.")
    rest = markdown[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest
