"""A provider on loopback for the tests of the pool."""

from __future__ import annotations

import asyncio

import pytest

from router_graph.pool import LiteLLMTransport
from support.model_server import ModelServer


@pytest.fixture(scope="module")
def provider():
    asyncio.run(LiteLLMTransport().prepare())  # no test measures how long importing LiteLLM takes
    with ModelServer() as server:
        yield server


@pytest.fixture
def server(provider, monkeypatch):
    """The provider with an empty meter, and short pauses between repetitions."""
    monkeypatch.setattr("router_graph.pool.chain._PAUSE_S", 0.01)
    provider.settle()
    for seen in (provider.meter, provider.seen, provider.peak):
        seen.clear()
    return provider
