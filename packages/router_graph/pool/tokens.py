"""Tokens counted here: what a request can take at the most, and about what a text took."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from pydantic import BaseModel

_IN_FULL = ("tools", "functions", "response_format")
"""The parameters that providers read to the model as text."""
_TEXT = ("text", "input_text", "output_text")
_UNBOUNDED = re.compile(r"file|document|audio|video|media")
"""Blocks of content that may hold, or lead to, far more tokens than bytes, or tokens at prices of their own."""
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
        size += _size(_json(message.additional_kwargs)) if message.additional_kwargs else 0
    size += _PER_REQUEST_WITH_TOOLS * len(_read_in_full(params))
    return size + sum(_size(_json(value)) for value in params.values() if not _is_plain(value))


def unbounded(messages: Iterable[BaseMessage]) -> str | None:
    """The type of a block of content of which nobody can tell how many tokens it is, if there is one."""
    kinds = (str(block.get("type")) for message in messages for block in _blocks(message.content))
    return next(filter(_UNBOUNDED.search, kinds), None)


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
    return sum("image" in str(block.get("type")) for block in _blocks(message.content))


def _blocks(content: Any) -> Iterator[Mapping[str, Any]]:
    """The blocks of a message, and those within them, as in the result of a tool."""
    for part in content if isinstance(content, list) else ():
        if isinstance(part, Mapping):
            yield part
            yield from _blocks(part.get("content"))


def schema_of(value: object) -> dict[str, Any] | None:
    """What is sent of a pydantic class; None of anything else."""
    return value.model_json_schema() if isinstance(value, type) and issubclass(value, BaseModel) else None


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _read_in_full(params: Mapping[str, Any]) -> list[str]:
    return [_json(params[key]) for key in _IN_FULL if params.get(key)]


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _json(value: Any) -> str:
    return json.dumps(value, default=lambda one: schema_of(one) or str(one))


def _part(part: str | dict[str, Any]) -> str:
    if isinstance(part, str):
        return part
    if "image" in str(part.get("type")):
        return ""
    is_text = part.get("type") in _TEXT and isinstance(part.get("text"), str)
    return part["text"] if is_text else json.dumps(part, default=str)
