"""What would change, as people read changes: a unified diff of each text."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Mapping

_WIDTH = 88


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """A unified diff, a text after the other, each wrapped so that a change of a word is a change of a line; empty
    where nothing changes. Control characters are shown, not sent to a terminal."""
    parts: list[str] = []
    for name in dict.fromkeys([*before, *after]):
        old, new = (_lines(texts.get(name, "")) for texts in (before, after))
        parts += difflib.unified_diff(old, new, f"{name} (now)", f"{name} (proposed)", lineterm="", n=1)
    return "\n".join(parts)


def _lines(text: str) -> list[str]:
    shown = "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)
    return [line for part in shown.split("\n") for line in textwrap.wrap(part, _WIDTH) or [""]] if shown else []
