"""Finding JSON inside other text, as far as it has come."""

from __future__ import annotations

import json
import re

_SIGN = re.compile(r'[{}\[\]]|"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)


def json_end(text: str, start: int) -> int | None:
    """The place behind the JSON object or array that begins at `start`; None while it is not closed.

    Only brackets and strings are looked at: what lies between them may still be no JSON.
    """
    depth = 0
    for sign in _SIGN.finditer(text, start):
        if sign[0] in "{[":
            depth += 1
        elif sign[0] in "}]":
            depth -= 1
            if depth <= 0:
                return sign.end()
    return None


def json_object(text: str) -> dict[str, object] | None:
    """The object that `text` is, or None where it is none. Line breaks inside strings pass, as models write them."""
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def json_line(value: object) -> str:
    """`value` as JSON that can be sent: a model may write half a character ("\\ud800"), for which UTF-8 has none."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if text.isascii() or _encodes(text) else json.dumps(value, default=str)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
