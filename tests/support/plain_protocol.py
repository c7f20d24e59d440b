"""The smallest protocol: the question is the prompt, and whatever comes back is the answer."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from router_graph.actions import Action, Answer, Malformed
from router_graph.protocols.protocol import Protocol, Reading
from router_graph.view import View

TOOL = {
    "type": "function",
    "function": {"name": "answer", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}},
}


class PlainProtocol(Protocol):
    name = "plain"

    def __init__(self, *, stop: tuple[str, ...] = (), with_tool: bool = False) -> None:
        self.stop = stop
        self._tools = [TOOL] if with_tool else []

    def messages(self, view: View) -> list[BaseMessage]:
        return [HumanMessage(view.question)]

    def read(self, reply: AIMessage, view: View) -> Reading:
        text = str(reply.text)
        return Reading("", (Answer(text) if text.strip() else Malformed("Say something."),))

    def write(self, thought: str, actions: Sequence[Action], view: View) -> AIMessage:
        return AIMessage("\n".join([thought, *map(repr, actions)]))

    def tools(self, view: View) -> list[dict]:
        return self._tools
