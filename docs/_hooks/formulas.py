"""Formulas: `$…$` and `$$…$$` become MathML when the site is built, which browsers draw without a script."""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert

_CODE = re.compile(r"(^(```|~~~).*?^\2[ \t]*$|`+[^`]+`+)", re.MULTILINE | re.DOTALL)
_FORMULA = re.compile(r"\$\$(?P<block>.+?)\$\$|(?<![\\$\w])\$(?P<line>[^\s$](?:[^$\n]*[^\s$])?)\$(?!\w)", re.DOTALL)
_made: dict[str, str] = {}
"""What stands in the text while Markdown reads it → the formula: Markdown must not see what is in one."""


def on_page_markdown(markdown: str, **about: Any) -> str:
    """Formulas of the text, not of its code, become marks."""
    parts = _CODE.split(markdown)
    # Of each match there are three parts: the text before it, the code, and its fence.
    return "".join(_marked(part) if n % 3 == 0 else part for n, part in enumerate(parts) if n % 3 != 2)


def on_page_content(html: str, **about: Any) -> str:
    """Marks become MathML."""
    return re.sub(r"(?:<p>)?FORMULA(\d+)B?ELUMROF(?:</p>)?", _drawn, html)


def _marked(text: str) -> str:
    return _FORMULA.sub(_mark, text)


def _mark(found: re.Match[str]) -> str:
    block = found["block"] is not None
    mark = f"FORMULA{len(_made)}{'B' if block else ''}ELUMROF"
    _made[mark] = convert((found["block"] or found["line"]).strip(), display="block" if block else "inline")
    return f"\n\n{mark}\n\n" if block else mark


def _drawn(found: re.Match[str]) -> str:
    text = found[0]
    mark = text.removeprefix("<p>").removesuffix("</p>")
    if mark.endswith("BELUMROF"):
        return _made[mark]
    return text.replace(mark, _made[mark])
