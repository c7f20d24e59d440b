"""What a recorded reply is, and a transport that records while it works.

A recording is a line of JSON: `{"question": …, "responses": {model id: response}}`. A response has its `text` and
either its `completion_tokens`, or in `message` the rest of the message as LangChain writes it; and perhaps a `context`,
by which it answers nothing but the same request.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import unicodedata
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from pydantic import BaseModel

from router_graph.pool.card import ModelCard
from router_graph.pool.reply import whole_message
from router_graph.pool.transport import Request, Transport

_log = logging.getLogger(__name__)

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

_NOT_CONTEXT = frozenset(
    {"user", "metadata", "timeout", "stream_options", "headers", "extra_headers"}
    | {"api_key", "api_token", "azure_ad_token", "aws_secret_access_key", "aws_session_token"}
)
"""Parameters that do not change what a model says, or must not be written down even as a hash."""
_LIMITS = ("max_tokens", "max_completion_tokens")
"""These change it only where they cut it off."""

_KEPT = ("model_name", "model", "model_provider", "output_version", "system_fingerprint", "service_tier", "logprobs")
_ENDS = ("finish_reason", "stop_reason", "done_reason")
"""What is kept of a message's `response_metadata`; there are clients that put the headers of the request there."""


def normalise_question(text: str) -> str:
    """The form in which questions are compared: without case, extra space, Unicode's variants of a character, and the
    question marks and full stops at the end."""
    # Folding the case can undo the normal form and the other way round; this order is Unicode's (D146 in chapter 3.13).
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold()).casefold()
    spaced = " ".join(unicodedata.normalize("NFKC", folded).split())
    return spaced.rstrip("?. ") or spaced


def question_of(messages: Sequence[BaseMessage]) -> str:
    """The text of the last human message; empty where there is none."""
    last = _last_human(messages)
    return "" if last is None else str(messages[last].text)


def context_of(request: Request, *, cut: bool = False) -> str:
    """A SHA-256 over everything that is sent besides the text of the last human message.

    A reply that was `cut` off depends on the limits of its length too, and another does not.
    """
    last = _last_human(request.messages)
    sent = {
        "messages": [_sent(message, without_text=i == last) for i, message in enumerate(request.messages)],
        "params": {
            key: value
            for key, value in request.params.items()
            if key not in _NOT_CONTEXT and (cut or key not in _LIMITS)
        },
    }
    return hashlib.sha256(json.dumps(_plain(sent), sort_keys=True, default=repr).encode()).hexdigest()


class RecordTransport(Transport):
    """Passes everything on to `inner`, and appends a line to the file for each whole reply; `ReplayTransport` reads it.

    The file holds questions and replies as they are, and of the rest of a request only a hash. Failures are not
    recorded, nor streams that were not read to their end. Several processes may record into one file on a local disk.
    A reply that cannot be written down is logged, and still returned. Raises `OSError` where the file cannot be opened.
    """

    def __init__(self, inner: Transport, path: Path | str) -> None:
        self._inner = inner
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self._path, _FLAGS, 0o666))

    async def prepare(self, card: ModelCard | None = None) -> None:
        """Load what the inner transport has to load."""
        await self._inner.prepare(card)

    async def complete(self, request: Request) -> AIMessage:
        """The whole reply."""
        message = await self._inner.complete(request)
        self._record(request, message)
        return message

    async def stream(self, request: Request) -> AsyncGenerator[AIMessageChunk, None]:
        """The reply in pieces."""
        pieces: list[AIMessageChunk] = []
        async with contextlib.aclosing(self._inner.stream(request)) as stream:
            async for piece in stream:
                pieces.append(piece)
                yield piece
        if pieces:
            self._record(request, whole_message(pieces))

    def count(self, card: ModelCard, text: str) -> int:
        """The inner transport's count."""
        return self._inner.count(card, text)

    def _record(self, request: Request, message: AIMessage) -> None:
        question = question_of(request.messages)
        response = {**_response(message), "context": context_of(request, cut=_is_cut(message))}
        try:
            line = json.dumps({"question": question, "responses": {request.card.id: response}})
            _append(self._path, line.encode() + b"\n")
        except (OSError, TypeError, ValueError) as error:
            _log.warning("A reply of %r could not be recorded in %s: %s", request.card.name, self._path, error)


def _append(path: Path, line: bytes) -> None:
    file = os.open(path, _FLAGS, 0o666)
    try:
        size = os.lseek(file, 0, os.SEEK_END)
        if size:
            os.lseek(file, size - 1, os.SEEK_SET)
            # A crash or a full disk may have cut the last line off. If another process is just writing it, the line
            # break makes an empty line, which does no harm.
            line = line if os.read(file, 1) == b"\n" else b"\n" + line
        if os.write(file, line) < len(line):  # the rest could land behind another process's line
            raise OSError("the disk took only a part of it")
    finally:
        os.close(file)


def _response(message: AIMessage) -> dict[str, Any]:
    # Not the id: LangGraph takes two messages with one id for two versions of the same message.
    rest = message.model_dump(exclude={"id", "type", "content", "response_metadata"}, exclude_defaults=True)
    kept = {key: message.response_metadata[key] for key in (*_KEPT, *_ENDS) if key in message.response_metadata}
    if not isinstance(message.content, str):
        rest["content"] = message.content
    return {"text": str(message.text), "message": {**rest, "response_metadata": kept}}


def _is_cut(message: AIMessage) -> bool:
    ends = (str(message.response_metadata.get(key)).lower() for key in _ENDS)
    return any(end in ("length", "max_tokens") for end in ends)


def _last_human(messages: Sequence[BaseMessage]) -> int | None:
    return next((i for i in reversed(range(len(messages))) if isinstance(messages[i], HumanMessage)), None)


def _sent(message: BaseMessage, *, without_text: bool) -> dict[str, Any]:
    content: Any = message.content
    if without_text:
        parts = [] if isinstance(content, str) else content
        content = [part for part in parts if isinstance(part, dict) and part.get("type") != "text"]
    known = ("type", "role", "name", "tool_calls", "invalid_tool_calls", "tool_call_id")
    said = {key: value for key in known if (value := getattr(message, key, None))}
    return {**said, "content": content}


def _plain(value: Any) -> Any:
    """The value so that what is sent alike reads alike: a temperature of 0 and of 0.0, and a class by its schema."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, type) and issubclass(value, BaseModel):
        return value.model_json_schema()
    return value
