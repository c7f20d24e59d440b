"""Tool calls written as Python: `[get_weather(city="Paris"), ping()]` (LFM2, Llama 4's pythonic templates)."""

from __future__ import annotations

import ast
import re
from typing import Any

from mote_backend.tools.json_text import json_line
from mote_backend.tools.read_call import ReadCall, refused

_SIGN = re.compile(r"""[()\[\]{}]|"(?:[^"\\]|\\.)*(?:"|\\?\Z)|'(?:[^'\\]|\\.)*(?:'|\\?\Z)""", re.DOTALL)
_WORDS = {"true": True, "false": False, "null": None}


def python_end(text: str, start: int) -> int | None:
    """The place behind the bracket that opens at `start`; None while it is not closed."""
    depth = 0
    for sign in _SIGN.finditer(text, start):
        if sign[0] in "([{":
            depth += 1
        elif sign[0] in ")]}":
            depth -= 1
            if depth <= 0:
                return sign.end()
    return None


def read_python(source: str) -> list[ReadCall]:
    """The calls of a list such as `[f(a=1), g()]`. Nothing is run: only literals are read."""
    try:
        # A line break inside quotes is no Python, but it is what templates render.
        tree = ast.parse(_one_line(source), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [refused(None, source, "it is no list of calls")]
    nodes = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
    return [_call(node, source) for node in nodes] or [refused(None, source, "it calls nothing")]


def _call(node: ast.expr, source: str) -> ReadCall:
    if not isinstance(node, ast.Call) or node.args or not isinstance(node.func, ast.Name | ast.Attribute):
        return refused(None, source, "it is no list of calls with named arguments")
    name = ast.unparse(node.func)
    try:
        given = {keyword.arg: _value(keyword.value) for keyword in node.keywords if keyword.arg}
        return ReadCall(name, json_line(given))
    except (ValueError, TypeError, RecursionError):
        return refused(name, source, "its arguments are no literals")


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id in _WORDS:
        return _WORDS[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(part) for part in node.elts]
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(key): _value(part) for key, part in zip(node.keys, node.values, strict=True) if key}
    value = ast.literal_eval(node)
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError("no value of JSON")
    return value


def _one_line(source: str) -> str:
    return _SIGN.sub(lambda found: found[0].replace("\n", "\\n") if found[0][0] in "\"'" else found[0], source).strip()
