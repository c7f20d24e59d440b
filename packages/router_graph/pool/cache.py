"""Answers that need not be paid for twice, in any LangChain cache (in memory, SQLite, Redis, …)."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration

from router_graph.pool.tokens import schema_of
from router_graph.pool.transport import Request

_log = logging.getLogger(__name__)

_BILL = frozenset({"usd", "seconds", "estimated", "failures", "cached"})
"""What the pool writes into `response_metadata` besides who served."""


class AnswerCache:
    """Keyed by all that a reply depends on: the card, where and how it is reached, every parameter, every message."""

    def __init__(self, store: BaseCache) -> None:
        self._store = store

    async def get(self, request: Request) -> AIMessage | None:
        """The message given before to the same request. Where the cache cannot be read, that is logged."""
        if (key := _key(request)) is None:
            return None
        try:
            known = await self._store.alookup(*key) or ()
        except Exception:
            _log.warning("The cache could not be read for %r.", request.card.name, exc_info=True)
            return None
        for generation in known:
            if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
                return generation.message.model_copy(deep=True)  # a cache in memory gives out the one it keeps
        return None

    async def put(self, request: Request, message: AIMessage) -> None:
        """Keep a message, if possible: it is paid for, and must not be lost with the cache."""
        if key := _key(request):
            # Without its id: LangGraph takes two messages with one id for two versions of the same message.
            kept = message.model_copy(update={"id": None}, deep=True)
            try:
                await self._store.aupdate(*key, [ChatGeneration(message=kept)])
            except Exception:
                _log.warning("The cache did not take a reply of %r.", request.card.name, exc_info=True)


def _key(request: Request) -> tuple[str, str] | None:
    """None where a parameter is an object of which nobody knows how to tell it from others."""
    card = request.card
    reached = {"card": card.name, "model": card.id, "transport": card.transport, "api_base": card.api_base}
    messages = [message.model_copy(update=_same(message)) for message in request.messages]
    try:
        how = json.dumps({**reached, "params": dict(request.params)}, sort_keys=True, default=_schema)
    except (TypeError, ValueError):
        return None
    # A digest, because extra_headers may hold a key, and a cache may lie on a disk.
    return dumps(messages), f"polyroute {hashlib.sha256(how.encode()).hexdigest()}"


def _schema(value: object) -> dict[str, Any]:
    if (schema := schema_of(value)) is None:
        raise TypeError
    return schema


def _same(message: BaseMessage) -> dict[str, Any]:
    """What differs between two messages that are sent alike: an id made up anew, and what an answer took."""
    same: dict[str, Any] = {"id": None}
    if isinstance(message, AIMessage):
        said = {key: value for key, value in message.response_metadata.items() if key not in _BILL}
        same |= {"usage_metadata": None, "response_metadata": said}
    return same
