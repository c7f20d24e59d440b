"""What comes back from LiteLLM, as LangChain writes it."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers.openai_tools import make_invalid_tool_call, parse_tool_call

from router_graph.errors import MalformedReplyError, ModelConnectionError
from router_graph.pool.card import ModelCard
from router_graph.pool.transport import COST


def message_of(response: Any, card: ModelCard) -> AIMessage:
    """The whole reply. Raises `MalformedReplyError`."""
    if not response.choices:
        raise MalformedReplyError(f"{card.name!r} sent a reply without a choice in it.", billed=True)
    choice = response.choices[0]
    said = choice.message
    calls, broken = [], []
    for call in said.tool_calls or ():
        raw = call.model_dump()
        try:
            calls.append(parse_tool_call(raw, return_id=True))
        except Exception as error:
            broken.append(make_invalid_tool_call(raw, str(error)))
    return AIMessage(
        content=said.content or "",
        tool_calls=[call for call in calls if call],
        invalid_tool_calls=broken,
        additional_kwargs=_thoughts(said),
        usage_metadata=usage_of(response.usage),
        response_metadata={
            "model_name": response.model,
            "finish_reason": choice.finish_reason,
            **cost_of(response.usage),
        },
    )


def piece_of(piece: Any) -> AIMessageChunk | None:
    """A piece of a stream; None where it has no choice in it, as the one with the usage."""
    if not piece.choices:
        return None
    choice = piece.choices[0]
    delta = choice.delta
    calls = [
        tool_call_chunk(name=call.function.name, args=call.function.arguments, id=call.id, index=call.index)
        for call in delta.tool_calls or ()
    ]
    metadata = {"finish_reason": choice.finish_reason, "model_name": piece.model} if choice.finish_reason else {}
    return AIMessageChunk(
        content=delta.content or "",
        tool_call_chunks=calls,
        additional_kwargs=_thoughts(delta),
        response_metadata=metadata,
    )


def _thoughts(said: Any) -> dict[str, Any]:
    thought = getattr(said, "reasoning_content", None)
    return {"reasoning_content": thought} if thought else {}


def usage_of(usage: Any) -> UsageMetadata | None:
    """LiteLLM's usage as LangChain writes it. LiteLLM fills in zeros where the provider reported none."""
    if usage is None or not usage.prompt_tokens:
        return None
    read, said = usage.prompt_tokens_details, usage.completion_tokens_details
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        input_token_details={
            "cache_read": _number(read, "cached_tokens"),
            "cache_creation": _number(read, "cache_creation_tokens")
            or getattr(usage, "cache_creation_input_tokens", None)
            or 0,
        },
        output_token_details={"reasoning": _number(said, "reasoning_tokens")},
    )


def cost_of(usage: Any) -> dict[str, float]:
    """What the provider says that the call cost, in USD, for the reply's metadata: OpenRouter and `polyroute serve` say
    it in the usage. Empty where it says nothing that can be true."""
    cost = getattr(usage, "cost", None)
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < float("inf"):
        return {}
    return {COST: float(cost)}


def _number(details: Any, field: str) -> int:
    return getattr(details, field, None) or 0


def check_end(response: Any, card: ModelCard, *, said: bool, reported: bool) -> None:
    """Raises `ModelError` where the provider ended the stream without saying so. LiteLLM says "stop" in its place."""
    if getattr(response, "received_finish_reason", None) or getattr(response, "intermittent_finish_reason", None):
        return
    if not said:
        raise MalformedReplyError(f"{card.name!r} sent a stream without a reply in it.", billed=True)
    if not reported:
        raise ModelConnectionError(f"{card.name!r} ended its stream before the reply was whole.", billed=True)
