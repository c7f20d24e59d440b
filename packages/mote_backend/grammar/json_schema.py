"""JSON schemas made ready for decoding: closed objects, no format that only annotates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mote_backend.errors import SchemaError, shown

FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "unknown", "uri", "uuid"}
)
"""The formats that decoding can be held to. To JSON Schema any other format is an annotation, so it is dropped."""

_SCHEMAS_BY_NAME = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_SCHEMAS = ("items", "additionalProperties", "prefixItems", "anyOf", "oneOf", "allOf", "not", "if", "then", "else")


def decodable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with every object closed that lists its properties and says nothing of others (OpenAI's strict mode).

    An open object invites a model to go on adding keys. Where parts are joined by `allOf` nothing is closed, for two
    closed parts would contradict each other. Raises SchemaError for what is no schema, and for one that nests too
    deeply.
    """
    if not isinstance(schema, Mapping) or not all(isinstance(key, str) for key in schema):
        raise SchemaError(
            f"A JSON schema is an object such as {{'type': 'object'}}, but this is {type(schema).__name__}."
        )
    try:
        return _prepared(schema, close=not _joins(schema))
    except RecursionError:
        raise SchemaError("The JSON schema nests too deeply; move its parts into $defs, and refer to them.") from None


def _prepared(schema: Mapping[str, Any], close: bool) -> dict[str, Any]:
    ready: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "format" and (not isinstance(value, str) or value not in FORMATS):
            continue
        if key == "properties" and not isinstance(value, Mapping):
            raise SchemaError(f"The properties of a JSON schema are {shown(value)}; give an object of schemas by name.")
        if key == "required" and not (isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)):
            raise SchemaError(f"What a JSON schema requires is {shown(value)}; give a list of names.")
        if key in _SCHEMAS_BY_NAME and isinstance(value, Mapping):
            ready[key] = {name: _part(part, close) for name, part in value.items()}
        elif key in _SCHEMAS:
            ready[key] = [_part(part, close) for part in value] if isinstance(value, list) else _part(value, close)
        else:
            ready[key] = value
    if close and "properties" in ready and "$ref" not in ready:
        ready.setdefault("additionalProperties", False)
    return ready


def _part(part: Any, close: bool) -> Any:
    return _prepared(part, close) if isinstance(part, Mapping) else part


def _joins(schema: Any) -> bool:
    """True where an `allOf` of more than one part stands anywhere in the schema."""
    if isinstance(schema, Mapping):
        parts = schema.get("allOf")
        return (isinstance(parts, list) and len(parts) > 1) or any(_joins(value) for value in schema.values())
    return isinstance(schema, list) and any(_joins(value) for value in schema)
