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
