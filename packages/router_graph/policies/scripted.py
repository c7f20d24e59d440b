"""Says what it was told to say: for tests, and for walking a graph by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from langchain_core.messages import AIMessage

from router_graph.errors import SettingsError
from router_graph.policies.policy import Act, Choice, Means, Policy
from router_graph.protocols.protocol import Protocol
from router_graph.view import View

Line = str | AIMessage | Choice
"""A reply as it stands, or a choice to be written in the protocol's grammar."""


class Scripted(Policy):
    """The line of the step's number, and the last one for all steps after; or what the function says to the view.

    It keeps no count of its own, so that a step that is taken again says the same. It says its lines whether or not
    they are legal. Raises `SettingsError` where there is no line.
    """

    def __init__(self, lines: Sequence[Line] | Callable[[View], Line], *, name: str = "scripted") -> None:
        if not callable(lines) and (isinstance(lines, str) or not lines):
            raise SettingsError(f"A script is a list of at least one line, or a function of a view, and not {lines!r}.")
        self.name = name
        self._lines = lines

    async def act(self, view: View, protocol: Protocol, means: Means) -> Act:
        """The line of this step."""
        line = self._lines(view) if callable(self._lines) else self._lines[min(len(view.steps), len(self._lines) - 1)]
        if isinstance(line, Choice):
            reply = protocol.write(line.thought, line.actions, view)
            return Act(reply, line.probabilities, line.propensity)
        reply = line if isinstance(line, AIMessage) else AIMessage(line)
        if means.on_token is not None:
            means.on_token(str(reply.text))
        return Act(reply)
