"""Tokens counted here: what a request can take at the most, and about what a text took."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from pydantic import BaseModel

_IN_FULL = ("tools", "functions", "response_format")
"""The parameters that providers read to the model as text."""
_PER_MESSAGE = 16
_TYPICAL_PER_MESSAGE = 4
_PER_REQUEST = 64
_PER_REQUEST_WITH_TOOLS = 1024
"""Chat templates wrap messages in special tokens, and providers add instructions of their own for tools."""


def most(messages: Iterable[BaseMessage], params: Mapping[str, Any], *, image_tokens: int) -> int:
    """Never below the input tokens of the request: a byte-level tokenizer makes at most one token of a byte."""
    size = _PER_REQUEST
    for message in messages:
        size += _PER_MESSAGE + _size(text_of(message)) + image_tokens * images_of(message)
    for text in _read_in_full(params):
        size += _PER_REQUEST_WITH_TOOLS + _size(text)
    return size


def about(messages: Iterable[BaseMessage], params: Mapping[str, Any], count: Callable[[str], int]) -> int:
    """About how many input tokens the request is, where `count` tells the tokens of a text."""
    texts = [text_of(message) for message in messages]
    return _TYPICAL_PER_MESSAGE * (1 + len(texts)) + sum(map(count, [*texts, *_read_in_full(params)]))


def estimate(text: str) -> int:
    """About how many tokens a text is: a quarter of its bytes, and no fewer than its words."""
    return max(math.ceil(_size(text) / 4), len(text.split()))


def text_of(message: BaseMessage) -> str:
    """Everything in a message that is sent as text: content, tool calls, ids."""
    parts = [message.content] if isinstance(message.content, str) else [_part(part) for part in message.content]
    if isinstance(message, AIMessageChunk):
        # Its `tool_calls` are what can be read so far: of a piece, nothing.
        parts += [(call["name"] or "") + (call["args"] or "") for call in message.tool_call_chunks]
    elif isinstance(message, AIMessage):
        parts += [json.dumps(call["args"], default=str) + call["name"] for call in message.tool_calls]
        parts += [(call["args"] or "") + (call["name"] or "") for call in message.invalid_tool_calls]
    if isinstance(message, AIMessage):
        parts.append(message.additional_kwargs.get("reasoning_content") or "")
        parts += [call["id"] or "" for call in message.tool_calls]
    if isinstance(message, ToolMessage):
        parts.append(message.tool_call_id)
    if message.name:
        parts.append(message.name)
    return "\n".join(filter(None, parts))


def images_of(message: BaseMessage) -> int:
    """How many images a message holds."""
    if isinstance(message.content, str):
        return 0
    return sum(isinstance(part, dict) and "image" in str(part.get("type")) for part in message.content)


def schema_of(value: object) -> dict[str, Any] | None:
    """What is sent of a pydantic class; None of anything else."""
    return value.model_json_schema() if isinstance(value, type) and issubclass(value, BaseModel) else None


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _read_in_full(params: Mapping[str, Any]) -> list[str]:
    return [
        json.dumps(params[key], default=lambda one: schema_of(one) or str(one)) for key in _IN_FULL if params.get(key)
    ]


def _part(part: str | dict[str, Any]) -> str:
    if isinstance(part, str):
        return part
    if "image" in str(part.get("type")):
        return ""
    return part["text"] if isinstance(part.get("text"), str) else json.dumps(part, default=str)
