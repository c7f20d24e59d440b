"""LangChain messages as the plain messages that a chat template takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage

from mote_backend.errors import InputError, shown
from mote_backend.tools.calls import short_id

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "tool"}
_SILENT = frozenset(
    "tool_use tool_call tool_call_chunk invalid_tool_call server_tool_call server_tool_result input_json_delta "
    "reasoning thinking redacted_thinking non_standard".split()
)
"""Content blocks that are no text of the conversation: calls are told apart, thoughts are not shown again."""


def plain_messages(
    messages: Sequence[BaseMessage], *, arguments_as_text: bool = False, short_ids: bool = False
) -> list[dict[str, Any]]:
    """Messages with `role` and `content`, and `tool_calls`, `tool_call_id` and `name` where they have them.

    `arguments_as_text` writes the arguments of calls as JSON text, `short_ids` their ids in nine letters or digits.
    InputError for images, audio, video and files: the model reads text alone.
    """
    called = {
        call["id"]: call["name"]
        for message in messages
        if isinstance(message, AIMessage)
        for call in message.tool_calls
        if call["id"]
    }
    shown = short_id if short_ids else str
    return [_plain(message, arguments_as_text, shown, called) for message in messages]


def _plain(
    message: BaseMessage, arguments_as_text: bool, shown: Callable[[str], str], called: Mapping[str, str]
) -> dict[str, Any]:
    role = message.role if isinstance(message, ChatMessage) else _ROLES.get(message.type)
    if role is None:
        raise InputError(f"A message of type {message.type!r} has no place in a chat; use human, ai, system or tool.")
    plain: dict[str, Any] = {"role": role, "content": text_of(message.content)}
    if message.name:
        plain["name"] = message.name
    if isinstance(message, AIMessage) and message.tool_calls:
        plain["tool_calls"] = [_call(call, arguments_as_text, shown) for call in message.tool_calls]
    if isinstance(message, ToolMessage):
        plain["tool_call_id"] = shown(message.tool_call_id)
        if name := plain.get("name") or called.get(message.tool_call_id):
            plain["name"] = name
    return plain


def text_of(content: str | Sequence[str | Mapping[str, Any]]) -> str:
    """The text of a message's content; InputError for what is neither text nor silent."""
    if isinstance(content, str):
        return content
    return "".join(map(_text, content))


def _text(block: object, *, may_hold_blocks: bool = True) -> str:
    if isinstance(block, str):
        return block
    kind = block.get("type", "text") if isinstance(block, Mapping) else None
    if not isinstance(block, Mapping) or not isinstance(kind, str):
        raise InputError(f"A message holds {shown(block)}; its parts are texts, or objects with a type and a text.")
    if kind in _SILENT:
        return ""
    if kind not in ("text", "text-plain", "tool_result"):
        raise InputError(f"A message holds a block of type {shown(kind)}; this model reads text alone, so send text.")
    told = block.get("text", block.get("content", ""))
    if isinstance(told, list) and may_hold_blocks:  # a tool's result may be blocks, and those are texts
        return "".join(_text(one, may_hold_blocks=False) for one in told)
    if not isinstance(told, str):
        raise InputError(f"A message holds a block of type {kind!r} with {shown(told)} where its text should be.")
    return told


def _call(call: Mapping[str, Any], arguments_as_text: bool, shown: Callable[[str], str]) -> dict[str, Any]:
    arguments = call["args"]
    return {
        "id": shown(call.get("id") or ""),
        "type": "function",
        "function": {
            "name": call["name"],
            "arguments": json.dumps(arguments, ensure_ascii=False) if arguments_as_text else arguments,
        },
    }
