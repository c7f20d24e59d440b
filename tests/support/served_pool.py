"""A pool of models on the loopback server, and the four ways to call one."""

from __future__ import annotations

import asyncio

import pytest

from router_graph.pool import ModelCard, ModelPool, Price
from support.model_server import ModelServer

PRICE = Price(input=1, output=2)


def card(server: ModelServer, name: str, **facts) -> ModelCard:
    facts = {"price": PRICE, "timeout_s": 5.0, "max_tokens": 20, "api_base": server.url} | facts
    return ModelCard(name=name, model=f"openai/{name}", **facts)


def pool_of(server: ModelServer, *names: str, cards: dict | None = None, **options) -> ModelPool:
    return ModelPool([card(server, name, **(cards or {})) for name in names], **options)


def asked(server: ModelServer) -> list[str]:
    return [row.model for row in server.meter]


def answers(pool: ModelPool, how: str, name: str, *args, **options):
    """The text and the serving card, in each of the four ways to call."""

    async def astream():
        return [piece async for piece in pool.astream(name, *args, **options)]

    if how in ("invoke", "ainvoke"):
        call = pool.invoke if how == "invoke" else lambda *a, **k: asyncio.run(pool.ainvoke(*a, **k))
        reply = call(name, *args, **options)
        return reply.text, reply.message.response_metadata["card"]
    pieces = list(pool.stream(name, *args, **options)) if how == "stream" else asyncio.run(astream())
    return "".join(piece.text for piece in pieces), pieces[-1].response_metadata["card"]


WAYS = pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
