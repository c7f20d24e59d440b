"""What a policy was sent at a step and what it said, as chat messages in OpenAI's form.

Where the policy asked a model, these are the call's. A policy without a model was sent nothing; its step is written as
its protocol would: a model can learn from it to do the same.
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import BaseMessage

from router_graph.actions import action_from_dict
from router_graph.errors import SettingsError
from router_graph.protocols import protocol_named
from router_graph.protocols.protocol import Protocol
from router_graph.trajectories.calls import message_of
from router_graph.trajectories.records import Message, RunRecord, StepRecord
from router_graph.trajectories.views import view_at

_ROLES = {"human": "user", "ai": "assistant"}


class Unsaid(Exception):
    """A step that has no prompt and no reply; the message says why."""


def said_at(run: RunRecord, record: StepRecord) -> tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]:
    """The prompt, the reply, and the tools that were offered. Raises `Unsaid`."""
    call = record.call
    if record.step["decision"]["problem"]:
        raise Unsaid("the policy failed")
    if call is not None and call["error"]:
        raise Unsaid("the policy's call failed")
    protocol = _protocol(record.step["decision"]["protocol"])
    if call is not None:
        prompt = [chat_message(one) for one in call["prompt"]]
        reply = chat_message({"role": "ai", "content": call["reply"], "tool_calls": call["tool_calls"]})
        return prompt, reply, _tools(protocol, run, record) if call["tool_calls"] else []
    if protocol is None:
        raise Unsaid("the policy asked no model, and its protocol is not known here")
    view = view_at(run, record.number)
    actions = [action_from_dict(one) for one in record.step.get("actions", ())]
    written = protocol.write(record.step.get("thought", ""), actions, view)
    prompt = [_chat(one) for one in protocol.messages(view)]
    return prompt, _chat(written), _tools(protocol, run, record)


def chat_message(message: Message) -> dict[str, Any]:
    """A message of a log in OpenAI's form; the arguments of a tool call are an object, as templates take them."""
    told: dict[str, Any] = {"role": _ROLES.get(message["role"], message["role"]), "content": message["content"]}
    if calls := message.get("tool_calls"):
        told["tool_calls"] = [
            {
                "id": one.get("id"),
                "type": "function",
                "function": {"name": one.get("name"), "arguments": one.get("args")},
            }
            for one in calls
        ]
    if "tool_call_id" in message:
        told["tool_call_id"] = message["tool_call_id"]
    return told


def _chat(message: BaseMessage) -> dict[str, Any]:
    return chat_message(message_of(message))


def _protocol(name: str) -> Protocol | None:
    try:
        return protocol_named(name)
    except SettingsError:
        return None


def _tools(protocol: Protocol | None, run: RunRecord, record: StepRecord) -> list[dict[str, Any]]:
    return [] if protocol is None else protocol.tools(view_at(run, record.number))
