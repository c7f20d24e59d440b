"""A protocol with a paragraph of advice for the policy: what was learned about whom to ask, in words."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from router_graph.actions import Action
from router_graph.protocols.protocol import Protocol, Reading
from router_graph.protocols.text import escape
from router_graph.view import View


class Advised(Protocol):
    """Another protocol, whose first message ends with the advice. Its grammar is the other's.

    The advice is escaped: however it was written, nothing in it can be read as an action.
    """

    def __init__(self, protocol: Protocol, advice: str) -> None:
        digest = hashlib.sha256(advice.encode()).hexdigest()[:8]
        self.name = f"{protocol.name}+advice-{digest}" if advice.strip() else protocol.name
        self.stop, self.thinks, self.ends = protocol.stop, protocol.thinks, protocol.ends  # type: ignore[misc]
        self._protocol, self._advice = protocol, escape(advice.strip())

    def messages(self, view: View) -> list[BaseMessage]:
        """The other's, with the advice."""
        sent = self._protocol.messages(view)
        if not self._advice or not sent:
            return sent
        told = f"{sent[0].text}\n\nAdvice:\n{self._advice}"
        if isinstance(sent[0], SystemMessage):
            return [SystemMessage(told), *sent[1:]]
        return [SystemMessage(f"Advice:\n{self._advice}"), *sent]

    def read(self, reply: AIMessage, view: View) -> Reading:
        """As the other reads it."""
        return self._protocol.read(reply, view)

    def write(self, thought: str, actions: Sequence[Action], view: View) -> AIMessage:
        """As the other writes it."""
        return self._protocol.write(thought, actions, view)

    def openings(self, view: View) -> Mapping[str, str]:
        """The other's."""
        return self._protocol.openings(view)

    def tools(self, view: View) -> list[dict[str, Any]]:
        """The other's."""
        return self._protocol.tools(view)
