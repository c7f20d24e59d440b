"""Any LangChain chat model as a model of the pool: a local one, a provider's own client, `ChatMoTE`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk

from router_graph.errors import MalformedReplyError, ModelError
from router_graph.pool.card import ModelCard
from router_graph.pool.failures import failure
from router_graph.pool.reply import only_piece
from router_graph.pool.transport import Request, Transport


class ChatModelTransport(Transport):
    """`max_tokens_as` is what the model calls the length of its reply; None where it cannot be told.

    Retries of the model's own should be off: the ledger would not see them. Its callbacks and its cache are not used:
    the pool's own chat model reports to the callbacks, and the model behind it would report every token and its usage
    again, to a tracer and to `get_usage_metadata_callback` even where it is given no callbacks. So it is not invoked,
    but told to generate.
    """

    def __init__(self, model: BaseChatModel, *, max_tokens_as: str | None = "max_tokens") -> None:
        self._model = model
        self._max_tokens_as = max_tokens_as

    async def complete(self, request: Request) -> AIMessage:
        """The whole reply."""
        try:
            await self._wait_for_rate_limit()
            result = await self._model._agenerate(list(request.messages), **self._arguments(request))
            if not result.generations:
                raise MalformedReplyError(f"{request.card.name!r} gave an empty result.", billed=True)
            return _told(result.generations[0], request.card, result.llm_output)
        except ModelError:
            raise
        except Exception as error:
            raise failure(error, request.card.name, model=request.card.id) from error

    async def stream(self, request: Request) -> AsyncGenerator[AIMessageChunk, None]:
        """The reply in pieces; one, where the model cannot stream."""
        if not self._can_stream(request):
            yield _without_end(only_piece(await self.complete(request)))
            return
        said = False
        try:
            await self._wait_for_rate_limit()
            pieces = self._model._astream(list(request.messages), **self._arguments(request))
            async with contextlib.aclosing(cast(AsyncGenerator[ChatGenerationChunk, None], pieces)) as chunks:
                async for chunk in chunks:
                    said = True
                    piece = _told(chunk, request.card)
                    yield _without_end(piece if isinstance(piece, AIMessageChunk) else only_piece(piece))
            if not said:
                raise MalformedReplyError(f"{request.card.name!r} sent a stream without a reply in it.", billed=True)
        except ModelError:
            raise
        except Exception as error:
            raise failure(error, request.card.name, model=request.card.id) from error

    def _can_stream(self, request: Request) -> bool:
        kind, disabled = type(self._model), self._model.disable_streaming
        if disabled is True or (disabled == "tool_calling" and request.params.get("tools")):
            return False
        return kind._stream is not BaseChatModel._stream or kind._astream is not BaseChatModel._astream

    async def _wait_for_rate_limit(self) -> None:
        if self._model.rate_limiter is not None:
            await self._model.rate_limiter.aacquire(blocking=True)

    def _arguments(self, request: Request) -> dict[str, Any]:
        arguments = {key: value for key, value in request.params.items() if key != "max_tokens"}
        return arguments if self._max_tokens_as is None else {**arguments, self._max_tokens_as: request.max_tokens}


def _told(generation: ChatGeneration, card: ModelCard, output: dict[str, Any] | None = None) -> AIMessage:
    """The message with all that the model said about it: LangChain lets it say so in three places."""
    message: BaseMessage = generation.message
    if not isinstance(message, AIMessage):
        raise MalformedReplyError(f"{card.name!r} replied with a {type(message).__name__}.", billed=True)
    facts = {**(output or {}), **(generation.generation_info or {}), **message.response_metadata}
    return message.model_copy(update={"response_metadata": facts})


def _without_end(piece: AIMessageChunk) -> AIMessageChunk:
    # The pool's last piece comes after it.
    return piece.model_copy(update={"chunk_position": None})
