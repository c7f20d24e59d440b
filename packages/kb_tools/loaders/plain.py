"""txt and md → one `Passage` a file, the text as it was written: UTF-8, else cp1252, noted as `encoding`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kb_tools.documents import Passage
from kb_tools.loaders.decoding import decode_text
from kb_tools.loaders.origin import Origin

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*$")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")


def read_plain(origin: Origin) -> Iterator[Passage]:
    """The whole file, titled by its name."""
    text, metadata = _text(origin)
    yield Passage(id=origin.name, title=origin.path.stem, text=text, metadata=metadata)


def read_markdown(origin: Origin) -> Iterator[Passage]:
    """The whole file, titled by `title` of its front matter, else its first heading, else its name."""
    text, metadata = _text(origin)
    yield Passage(id=origin.name, title=markdown_title(text) or origin.path.stem, text=text, metadata=metadata)


def markdown_title(text: str) -> str:
    """The title that a Markdown text gives itself, or nothing."""
    matter = _FRONT_MATTER.match(text)
    if matter and (title := _yaml_title(matter.group(1))):
        return title
    fence = ""
    before = ""
    for line in text[matter.end() if matter else 0 :].splitlines():
        if mark := _FENCE.match(line):
            # Only the same sign closes a fence, and a "# comment" inside one is no heading.
            fence = "" if fence and mark.group(1).startswith(fence) else fence or mark.group(1)
        elif not fence:
            if heading := _HEADING.match(line):
                return heading.group(1).strip()
            if before.strip() and _UNDERLINE.match(line):
                return before.strip()
        before = "" if fence else line
    return ""


def without_matter(text: str) -> str:
    """A Markdown text without its front matter."""
    return _FRONT_MATTER.sub("", text)


def _text(origin: Origin) -> tuple[str, dict[str, Any]]:
    data = origin.path.read_bytes()
    text, assumed = decode_text(origin, data, guess="cp1252")
    if assumed and _CONTROL.search(data):
        decode_text(origin, data)  # raises: prose of any 8-bit encoding has no control characters
    return text, origin.metadata() if assumed is None else origin.metadata(encoding=assumed)


def _yaml_title(matter: str) -> str:
    import yaml

    try:
        fields = yaml.safe_load(matter)
    except (yaml.YAMLError, ValueError, RecursionError):
        return ""
    title = fields.get("title") if isinstance(fields, dict) else None
    return str(title).strip() if isinstance(title, str | int | float) else ""
