"""A chat model's reply in OpenAI's form: the message, the pieces of a stream, and the usage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk

from mote_backend.tools.json_text import json_line


def message_json(message: AIMessage) -> dict[str, Any]:
    """The message of a choice."""
    calls = [_call(one["id"], one["name"], json_line(one["args"])) for one in message.tool_calls]
    calls += [_call(one["id"], one["name"], one["args"] or "") for one in message.invalid_tool_calls]
    said: dict[str, Any] = {"role": "assistant", "content": str(message.text) or (None if calls else "")}
    if calls:
        said["tool_calls"] = calls
    return said | _thoughts(message)


def delta_json(chunk: AIMessageChunk) -> dict[str, Any]:
    """What a piece of a stream adds; empty if it adds nothing."""
    delta: dict[str, Any] = {"content": str(chunk.text)} if chunk.text else {}
    if chunk.tool_call_chunks:
        delta["tool_calls"] = [tool_call_delta(one) for one in chunk.tool_call_chunks]
    return delta | _thoughts(chunk)


def tool_call_delta(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a tool call: the first has the id and the name."""
    function: dict[str, Any] = {"arguments": chunk.get("args") or ""}
    if chunk.get("name"):
        function["name"] = chunk["name"]
    delta: dict[str, Any] = {"index": chunk.get("index") or 0, "function": function}
    return {**delta, "id": chunk["id"], "type": "function"} if chunk.get("id") else delta


def usage_json(message: AIMessage) -> dict[str, int]:
    """Tokens read and said."""
    usage = message.usage_metadata
    read, said = (usage["input_tokens"], usage["output_tokens"]) if usage else (0, 0)
    return {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}


def finish_reason(message: AIMessage, *, called: bool | None = None) -> str:
    """ "stop", "length" or "tool_calls"; `called` tells whether earlier pieces of a stream held a call."""
    told = str(message.response_metadata.get("finish_reason") or "stop")
    called = bool(message.tool_calls or message.invalid_tool_calls) if called is None else called
    return "tool_calls" if called and told == "stop" else told


def _call(number: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {"id": number or "", "type": "function", "function": {"name": name or "", "arguments": arguments}}


def _thoughts(message: AIMessage) -> dict[str, Any]:
    thought = message.additional_kwargs.get("reasoning_content")
    return {"reasoning_content": thought} if thought else {}
