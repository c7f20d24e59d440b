"""Replies read by the `response_template` that a tokenizer ships, through transformers' own parser.

Used where the chat template's calls cannot be read off its rendering (Gemma 4): that parser knows the form from the
model's authors, but gives a call only when it is whole, and gives up at the first that is malformed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mote_backend.tools.json_text import json_line
from mote_backend.tools.read_call import ReadCall, refused


def read_declared(
    reply: str, template: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]], *, thinking: bool, final: bool
) -> tuple[str, str, list[ReadCall]]:
    """Text, reasoning and calls of a reply as far as it has come; `thinking`: the prompt ends inside the reasoning."""
    from transformers.utils.chat_parsing import ResponseParser

    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ReadCall] = []

    def take(events: list[dict[str, Any]]) -> None:
        for event in events:
            if event["type"] == "region_chunk" and event["field"] == "content":
                texts.append(event["text"])
            elif event["type"] == "region_chunk" and event["field"] in ("reasoning_content", "thinking"):
                thoughts.append(event["text"])
            elif event["type"] == "region_close" and event["field"] == "tool_calls":
                values = event["value"] if isinstance(event["value"], list) else [event["value"]]
                calls.extend(map(_call, values))

    tools: list[Any] = [{"function": {"name": name, "parameters": dict(schema)}} for name, schema in schemas.items()]
    try:
        parser = ResponseParser(dict(template), prefix="<think>\n" if thinking else "", tools=tools)
        take(parser.feed(reply))
        if final:
            take(parser.finalize()[1])
    except Exception as error:  # its content parsers raise what json, regex and re raise
        if final:
            calls.append(refused(None, reply, " ".join(str(error).split())[:200] or "it is malformed"))
    return "".join(texts), "".join(thoughts), calls


def _call(value: Any) -> ReadCall:
    function = value.get("function", value) if isinstance(value, Mapping) else {}
    name, arguments = function.get("name"), function.get("arguments", {})
    if isinstance(name, str) and isinstance(arguments, Mapping):
        return ReadCall(name, json_line(arguments))
    return refused(name if isinstance(name, str) else None, str(value), "it has no name and no object of arguments")
