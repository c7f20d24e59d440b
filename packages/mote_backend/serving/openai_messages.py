"""Messages in OpenAI's form as LangChain's. Whatever a client writes into them is data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call

from mote_backend.errors import InputError
from mote_backend.tools.json_text import json_object

_ROLES = ("system", "developer", "user", "assistant", "tool")


def messages_of(given: Sequence[Mapping[str, Any]]) -> list[BaseMessage]:
    """LangChain's messages. InputError says which message is none."""
    return [_message(one, at) for at, one in enumerate(given)]


def _message(given: Mapping[str, Any], at: int) -> BaseMessage:
    role, name = given.get("role"), given.get("name")
    if role not in _ROLES:
        raise InputError(f"messages[{at}] has the role {str(role)[:40]!r}; a role is {', '.join(_ROLES)}.")
    if name is not None and not isinstance(name, str):
        raise InputError(f"messages[{at}] has a name that is no text.")
    calls = given.get("tool_calls") or ()
    content = _content(given.get("content"), at, may_be_missing=role == "assistant")
    if role == "user":
        return HumanMessage(content=content, name=name)
    if role in ("system", "developer"):
        return SystemMessage(content=content, name=name)
    if role == "tool":
        if not isinstance(number := given.get("tool_call_id"), str):
            raise InputError(f"messages[{at}] is a tool's, and needs the tool_call_id that it answers.")
        return ToolMessage(content=content, tool_call_id=number, name=name)
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise InputError(f"messages[{at}].tool_calls is no list.")
    valid, broken = [], []
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise InputError(f"messages[{at}] has a tool call without a function and its name.")
        number, text = str(call.get("id") or ""), function.get("arguments") or "{}"
        arguments = json_object(text) if isinstance(text, str) else None
        if arguments is None:
            broken.append(invalid_tool_call(name=function["name"], args=str(text), id=number, error="no JSON object"))
        else:
            valid.append(tool_call(name=function["name"], args=arguments, id=number))
    return AIMessage(content=content, name=name, tool_calls=valid, invalid_tool_calls=broken)


def _content(given: Any, at: int, *, may_be_missing: bool) -> str | list[str | dict[str, Any]]:
    if isinstance(given, str):
        return given
    if isinstance(given, list) and all(isinstance(part, dict) for part in given):
        return given
    if given is None and may_be_missing:
        return ""
    raise InputError(f"messages[{at}] has no content; it is a text, or a list of parts with a type.")
