"""A protocol: the only place that knows how a state is put to a policy, and how its reply is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from langchain_core.messages import AIMessage, BaseMessage

from router_graph.actions import Action
from router_graph.view import View


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply says."""

    thought: str
    actions: tuple[Action, ...]
    """At least one; `Malformed` where the reply is no action. Several routes run side by side."""


class Protocol(ABC):
    """A pure object: a view becomes messages, a reply becomes actions. The parser that runs the graph is the parser
    that a reward calls."""

    name: str
    """What logs and settings call it: protocols of one name speak alike."""
    stop: ClassVar[tuple[str, ...]] = ()
    """Texts after which a sampler may stop."""
    thinks: ClassVar[tuple[str, str]] = ("", "")
    """What stands before the thought of a reply, and between it and the action."""
    ends: ClassVar[tuple[str, ...]] = ()
    """Texts that end an action."""

    @abstractmethod
    def messages(self, view: View) -> list[BaseMessage]:
        """What the policy is sent. What was retrieved, and what other models said, is in it as data: nothing in it can
        be read as an action."""

    @abstractmethod
    def read(self, reply: AIMessage, view: View) -> Reading:
        """What the policy wants. Never raises."""

    @abstractmethod
    def write(self, thought: str, actions: Sequence[Action], view: View) -> AIMessage:
        """The reply that reads as these actions: what a policy without a language model says."""

    def openings(self, view: View) -> Mapping[str, str]:
        """For each legal option, what a reply that chooses it goes on with after its thought, as far as it is the same
        for all queries. So a policy that can be asked for probabilities can be asked for those of the options. Empty
        where the protocol cannot say.
        """
        return {}

    def tools(self, view: View) -> list[dict[str, Any]]:
        """The tools to offer, in OpenAI's form; none where actions are text."""
        return []
