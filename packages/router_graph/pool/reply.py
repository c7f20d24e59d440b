"""What a model said, and what it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.messages.ai import add_ai_message_chunks

from router_graph.errors import RouterError
from router_graph.pool.price import Usage

if TYPE_CHECKING:
    from router_graph.pool.attempt import Attempt


@dataclass(frozen=True, slots=True)
class Reply:
    """A message, and beside it what is in its `response_metadata` too: who served, what it cost, what failed first."""

    message: AIMessage
    model: str
    """The card that served: the one asked, or a fallback."""
    usage: Usage | None
    """None where it came from the cache."""
    usd: float
    """The serving call alone; failed ones before it are in the ledger."""
    seconds: float
    estimated: bool
    """The provider did not report its usage, or its price is only a ceiling."""
    failures: tuple[tuple[str, RouterError], ...]
    """What went wrong before, by model, in order."""
    cached: bool = False

    @property
    def text(self) -> str:
        """The message's text."""
        return str(self.message.text)

    @classmethod
    def of(cls, message: AIMessage, attempt: Attempt, failures: Sequence[tuple[str, RouterError]]) -> Self:
        """The reply of an attempt that is settled."""
        facts: dict[str, Any] = {
            "model_name": message.response_metadata.get("model_name") or attempt.request.card.id,
            "card": attempt.name,
            "usd": attempt.booked.usd,
            "estimated": attempt.estimated,
            "seconds": attempt.seconds,
            "failures": [{"model": name, "error": type(error).__name__} for name, error in failures],
        }
        told = message.model_copy(update={"response_metadata": {**message.response_metadata, **facts}})
        if told.usage_metadata is None and attempt.usage is not None:
            told.usage_metadata = attempt.usage.as_metadata()
        return cls(
            told, attempt.name, attempt.usage, attempt.booked.usd, attempt.seconds, attempt.estimated, tuple(failures)
        )

    @classmethod
    def from_cache(cls, message: AIMessage, model: str) -> Self:
        """A reply that was given before, and costs nothing now."""
        facts = {**message.response_metadata, "usd": 0.0, "estimated": False, "cached": True, "failures": []}
        told = message.model_copy(update={"response_metadata": facts, "usage_metadata": None})
        served = str(facts.get("card", model))
        return cls(told, served, None, 0.0, 0.0, estimated=False, failures=(), cached=True)


def whole_message(pieces: Sequence[AIMessageChunk]) -> AIMessage:
    """The message that the pieces of a stream make."""
    whole = message_chunk_to_message(add_ai_message_chunks(pieces[0], *pieces[1:]))
    assert isinstance(whole, AIMessage)
    return whole


def last_piece(message: AIMessage, said: Sequence[AIMessageChunk] = ()) -> AIMessageChunk:
    """The end of a stream: no text, but who served, the usage and the bill.

    What the pieces said already is left out, because LangChain adds chunks up, and "stop" to "stop" is "stopstop".
    """
    told = {fact for piece in said for fact in piece.response_metadata}
    return AIMessageChunk(
        content="",
        response_metadata={key: value for key, value in message.response_metadata.items() if key not in told},
        usage_metadata=message.usage_metadata,
        chunk_position="last",
    )


def only_piece(message: AIMessage) -> AIMessageChunk:
    """A stream of one piece."""
    return AIMessageChunk(**{**message.model_dump(exclude={"type"}), "chunk_position": "last"})
