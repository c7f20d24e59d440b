"""`POST /v1/chat/completions`: one request to a chat model, whole or as server-sent events."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from mote_backend.serving.errors import told
from mote_backend.serving.exchange import HungUpError, TooLargeError, event_of, object_of, read, unless_hung_up
from mote_backend.serving.openai_error import error_json
from mote_backend.serving.openai_reply import delta_json, finish_reason, message_json, usage_json
from mote_backend.serving.openai_request import Asked, asked
from mote_backend.serving.served_models import Choice, ServedModels

MASK_HEADER = "x-mote-mask"


@dataclass
class ChatEndpoint:
    """Answers requests, `most_waiting` of them at once and the rest with status 429."""

    models: ServedModels
    max_body: int
    """Bytes of a request."""
    most_waiting: int
    _running: int = field(default=0, init=False)

    async def __call__(self, request: Request) -> Response:
        """The answer, also for what goes wrong."""
        if self._running >= self.most_waiting:
            body = error_json(429, f"{self._running} requests are waiting already; ask again later.")
            return JSONResponse(body, 429, {"retry-after": "1"})
        self._running += 1
        try:
            return await self._answer(request)
        except HungUpError:
            return Response(status_code=499)  # nobody reads it
        except TooLargeError:
            return JSONResponse(error_json(413, f"A request may have {self.max_body:,} bytes."), 413)
        except Exception as error:
            status, body = told(error)
            return JSONResponse(body, status)
        finally:
            self._running -= 1

    async def _answer(self, request: Request) -> Response:
        wanted = asked(object_of(await read(request, self.max_body)))
        choice = self.models.choose(wanted.model, wanted.mask, names_mask=wanted.names_mask)
        reply = _Reply(wanted, choice)
        headers = {MASK_HEADER: choice.mask.id} if choice.mask else {}
        if not wanted.stream:
            return JSONResponse(await unless_hung_up(request, reply.whole()), headers=headers)
        events = reply.events()
        try:
            # The first event comes before the status is sent, so that a refusal has one of its own.
            first = await unless_hung_up(request, anext(events))
        except BaseException:
            await events.aclose()
            raise
        headers |= {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return StreamingResponse(self._counted(first, events), media_type="text/event-stream", headers=headers)

    async def _counted(self, first: str, events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
        self._running += 1
        try:
            async with aclosing(events):
                yield first
                async for event in events:
                    yield event
        finally:
            self._running -= 1


class _Reply:
    """What is sent back for one request."""

    def __init__(self, wanted: Asked, choice: Choice) -> None:
        self._wanted, self._choice = wanted, choice
        self._id, self._created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
        self._options = {
            **wanted.options,
            "mote_mask": choice.mask,
            "return_token_ids": wanted.return_token_ids,
        }

    async def whole(self) -> dict[str, Any]:
        """The answer as one object."""
        result = await self._choice.chat_model._agenerate(list(self._wanted.messages), **self._options)
        message = cast(AIMessage, result.generations[0].message)
        choice = {
            "index": 0,
            "message": message_json(message),
            "logprobs": message.response_metadata.get("logprobs"),
            "finish_reason": finish_reason(message),
            **self._tokens(message, "token_ids"),
        }
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": usage_json(message),
            **self._tokens(message, "prompt_token_ids"),
        }

    async def events(self) -> AsyncGenerator[str, None]:
        """The answer as server-sent events. What fails after the first is told in an event of its own."""
        began = called = False
        chunks = self._choice.chat_model._astream(list(self._wanted.messages), **self._options)
        try:
            async with aclosing(cast(AsyncGenerator[ChatGenerationChunk, None], chunks)) as stream:
                async for chunk in stream:
                    message = cast(AIMessageChunk, chunk.message)
                    called = called or bool(message.tool_call_chunks)
                    delta = delta_json(message)
                    if not began:
                        delta = {"role": "assistant", "content": "", **delta}
                    began = True
                    if delta:
                        yield self._event(delta)
                    if message.chunk_position == "last":
                        for event in self._end(message, called):
                            yield event
        except Exception as error:
            if not began:
                raise
            _, body = told(error)
            yield event_of(body)
            return
        yield "data: [DONE]\n\n"

    def _end(self, message: AIMessageChunk, called: bool) -> list[str]:
        events = [
            self._event(
                {},
                finish_reason(message, called=called),
                logprobs=message.response_metadata.get("logprobs"),
                **self._tokens(message, "token_ids"),
            )
        ]
        if self._wanted.include_usage:
            usage = {"choices": [], "usage": usage_json(message), **self._tokens(message, "prompt_token_ids")}
            events.append(event_of({**self._head("chat.completion.chunk"), **usage}))
        return events

    def _event(self, delta: dict[str, Any], reason: str | None = None, **facts: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason, **facts}
        usage = {"usage": None} if self._wanted.include_usage else {}
        return event_of({**self._head("chat.completion.chunk"), "choices": [choice], **usage})

    def _head(self, kind: str) -> dict[str, Any]:
        mask = self._choice.mask
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._wanted.model,
            "mote": {"id": mask.id, "name": mask.name} if mask else None,
        }

    def _tokens(self, message: AIMessage, key: str) -> dict[str, Any]:
        return {key: message.response_metadata.get(key)} if self._wanted.return_token_ids else {}
