"""Giant texts, and pictures, are cut before they reach the disk: their head is kept, their length and a SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

MOST_CHARACTERS = 100_000
"""Of one text. What a policy reads of a document is far shorter, so that a cut hardly ever changes what it saw."""

_NUMBERS = frozenset({int, float, bool, type(None)})


def cut(text: str, most: int) -> str:
    """The text, if it has at most this many characters; else its head and what it was. Of a picture's URL, its type."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    was = f"cut; characters={len(text)}; sha256={digest}"
    if text.startswith("data:"):
        return f"{text.partition(',')[0].partition(';')[0][:100]};{was.replace(' ', '')},"
    return f"{text[:most]}… [{was}]"


def each_text(value: Any, change: Callable[[str], str], hides: Callable[[str], bool] | None = None) -> Any:
    """The value with every text in it changed, keys included. What needs no change is the same object.

    Of two keys that become one, the last stays. What is under a key that `hides` says yes to becomes "[secret]".
    """
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        changed: dict[Any, Any] = {}
        same = True
        for key, one in value.items():
            if isinstance(key, str) and hides is not None and one and hides(key):
                new_key, new = key, "[secret]"
            else:
                new_key = change(key) if isinstance(key, str) else key
                new = each_text(one, change, hides)
            same = same and new_key is key and new is one
            changed[new_key] = new
        return value if same else changed
    if isinstance(value, list | tuple):
        if _NUMBERS.issuperset(map(type, value)):  # token ids and log-probs, by the thousand
            return value
        items = [each_text(one, change, hides) for one in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return value
