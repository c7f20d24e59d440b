"""Links to files of the repository that are no page: their words stay, with the path. The site has no repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {"training/README.md": "reference/training.md", "README.md": "index.md"}
"""Files of the repository that the site has as another page."""

_LINK = re.compile(r"(?<!!)\[(?P<words>[^\]]+)\]\((?P<target>[^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, **about: Any) -> str:
    """The page, its links from docs/ to what is no page told as paths."""
    return relinked(markdown, Path(page.file.abs_src_path).parent, page.file.src_uri)


def relinked(markdown: str, folder: Path, page: str) -> str:
    """`folder` is where the text stands in the repository, `page` the page of the site that it is put into."""

    def link(found: re.Match[str]) -> str:
        target, hash_, anchor = found["target"].partition("#")
        if not target or "://" in target:
            return found[0]
        path = (folder / target).resolve()
        if not path.is_relative_to(ROOT):
            return found[0]
        inside = path.relative_to(ROOT).as_posix()
        there = DOCS / PAGES[inside] if inside in PAGES else path
        if there.is_relative_to(DOCS) and there.is_file():
            up = "../" * page.count("/")
            return f"[{found['words']}]({up}{there.relative_to(DOCS).as_posix()}{hash_}{anchor})"
        words = found["words"].strip("`")
        return f"`{words}`" if words in (inside, target) else f"{found['words']} (`{inside}`)"

    return _LINK.sub(link, markdown)
