"""Recordings to test with."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage

from router_graph.pool import ChatModelTransport, ModelCard, Price, Request
from router_graph.pool.transports.record import RecordTransport
from router_graph.pool.transports.replay import ReplayTransport

PRICE = Price(input=0.15, output=0.6, cached=0.01, reasoning=1.7)
SAY = {"text": "Walmart, in 2018.", "completion_tokens": 5}
"""A response without a context."""


def card_of(model, **more):
    """A card of a model that the transport `replay` reaches."""
    return ModelCard(**{"name": "m", "model": model, "transport": "replay", "price": PRICE, **more})


def asked(question, *, model="a/b", messages=None, **params):
    """The request that the pool would make of a question."""
    return Request(card_of(model), messages or [HumanMessage(question)], {"max_tokens": 100, **params})


def written(path, *rows):
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def replay(path, *rows):
    """The rows as a transport; the folder gets a file of them."""
    return ReplayTransport.load(written(path / "replies.jsonl", *rows))


def saying(message, path):
    """A recorder of a model that says this one message."""
    return RecordTransport(ChatModelTransport(GenericFakeChatModel(messages=iter([message]))), path)


def record_many(path: Path | str, who: str, n: int) -> None:
    """Record long replies of `a/b` to the questions "<who> 0", "<who> 1", …"""
    said = (AIMessage(f"{who} {i} " + "x" * 20_000) for i in range(n))
    recorder = RecordTransport(ChatModelTransport(GenericFakeChatModel(messages=said), max_tokens_as=None), path)
    for i in range(n):
        asyncio.run(recorder.complete(asked(f"{who} {i}")))
