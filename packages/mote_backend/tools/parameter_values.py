"""The value of a tool's parameter that a model wrote as plain text, by the parameter's schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def cast(text: str, schema: Any, root: Mapping[str, Any]) -> Any:
    """`text` as what the schema asks for; it stays text where that is allowed, or where nothing else fits.

    `root` is the schema that the parameter is part of, for references into it.
    """
    types = _types(schema, root, 8)
    if not types or ("string" in types and text.strip() != "null"):
        return text
    spelled = text.strip()
    try:
        value = json.loads(_PYTHON.get(spelled, spelled))
    except (ValueError, RecursionError):
        return text
    return value if any(_is(value, kind) for kind in types) else text


_PYTHON = {"True": "true", "False": "false", "None": "null"}


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES.get(kind, ()))


def _types(schema: Any, root: Mapping[str, Any], depth: int) -> set[str]:
    """The JSON types that a schema allows, as far as it names any."""
    if not isinstance(schema, Mapping) or not depth:
        return set()
    own = schema.get("type")
    types = {own} if isinstance(own, str) else {kind for kind in _listed(own) if isinstance(kind, str)}
    parts = [part for union in ("anyOf", "oneOf", "allOf") for part in _listed(schema.get(union))]
    if isinstance(schema.get("$ref"), str):
        parts.append(_referred(schema["$ref"], root))
    for part in parts:
        types |= _types(part, root, depth - 1)
    for value in _listed(schema.get("enum")) or ([schema["const"]] if "const" in schema else []):
        types |= {"string"} if isinstance(value, str) else {kind for kind in _TYPES if _is(value, kind)}
    return types


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _referred(reference: str, root: Any) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        root = root.get(step) if isinstance(root, Mapping) else None
    return root
