"""How a request reaches a model: what every transport does, and nothing of money, retries or queues."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from router_graph.pool import tokens
from router_graph.pool.card import ModelCard

COST = "cost_usd"
"""In `response_metadata` of a reply whose provider says what it cost: USD, 0 or more."""


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt to get a reply."""

    card: ModelCard
    messages: Sequence[BaseMessage]
    params: Mapping[str, Any]
    """In OpenAI's terms: max_tokens (always), temperature, stop, tools, tool_choice, response_format, …"""

    @property
    def max_tokens(self) -> int:
        """The longest reply, in tokens."""
        return int(self.params["max_tokens"])


class Transport(ABC):
    """Sends a request once. What the provider reports of its usage stands in `usage_metadata` of the message, and what
    it says of its cost under `COST`.

    Every failure is a `ModelError`; no retries, no fallbacks, no caching.
    """

    async def prepare(self, card: ModelCard | None = None) -> None:  # noqa: B027 - most have nothing to load
        """Load what is slow to load, of the card's model too, if one is given. Not counted as the model's time."""

    @abstractmethod
    async def complete(self, request: Request) -> AIMessage:
        """The whole reply."""

    @abstractmethod
    def stream(self, request: Request) -> AsyncGenerator[AIMessageChunk, None]:
        """The reply in pieces; the usage is in the last that has any."""

    def count(self, card: ModelCard, text: str) -> int:
        """About how many tokens the text is, for a provider that does not report it."""
        return tokens.estimate(text)
