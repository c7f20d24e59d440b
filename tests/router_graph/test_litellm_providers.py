"""Providers that LiteLLM reaches by code of their own, not by OpenAI's client: their failures come out as ours too."""

from __future__ import annotations

import logging

import pytest

from router_graph import errors
from router_graph.budget import Amount
from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool
from support.raw_server import RawServer


def card(server: RawServer, name: str, **fields: object) -> ModelCard:
    return ModelCard(name=name, api_base=server.url, price={"input": 1, "output": 2}, timeout_s=20, **fields)


PROVIDERS = {
    "anthropic/claude-3-haiku-20240307": "ANTHROPIC_API_KEY",
    "gemini/gemini-2.0-flash": "GEMINI_API_KEY",
    "mistral/mistral-small-latest": "MISTRAL_API_KEY",
    "groq/llama-3.1-8b-instant": "GROQ_API_KEY",
}
ANSWERS = {
    401: errors.AuthenticationError,
    404: errors.ModelNotFoundError,
    429: errors.RateLimitedError,
    500: errors.ModelServerError,
    200: errors.MalformedReplyError,
}


@pytest.mark.parametrize("status", ANSWERS)
@pytest.mark.parametrize("model", PROVIDERS)
def test_failures_of_providers_with_code_of_their_own_are_typed_alike(model, status, monkeypatch, caplog):
    monkeypatch.setenv("HOUSE_KEY", "canary-0123456789")
    body = f'{{"error": {{"message": "No.", "code": {status}, "status": "X", "type": "x"}}}}'
    with RawServer(status, body) as raw:
        pool = ModelPool([card(raw, "m", model=model, api_key_env="HOUSE_KEY")], retries=0)
        for ask in (pool.invoke, lambda *question, **rest: list(pool.stream(*question, **rest))):
            ledger = Ledger()
            with pytest.raises(ANSWERS[status]) as caught:
                ask("m", "hi", ledger=ledger)
            assert len(str(caught.value)) < 350 and "litellm." not in str(caught.value)
            worst = next(iter(ledger.entries.values()))["reserved"]["picousd"]
            assert ledger.spent.picousd == (worst if status == 200 else 0)
    assert len(raw.seen) == 2
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.parametrize("model", PROVIDERS)
def test_a_provider_that_refuses_the_connection_costs_nothing(model, monkeypatch):
    monkeypatch.setenv("HOUSE_KEY", "canary-0123456789")
    with RawServer(200, "") as raw:
        pass
    ledger = Ledger()
    pool = ModelPool([card(raw, "m", model=model, api_key_env="HOUSE_KEY")], retries=0)
    with pytest.raises(errors.ModelConnectionError):
        pool.invoke("m", "hi", ledger=ledger)
    assert (ledger.spent.picousd, ledger.reserved) == (0, Amount())


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", *PROVIDERS])
def test_a_missing_key_is_asked_for_by_the_providers_own_variable(model, monkeypatch):
    for variable in ("OPENAI_API_KEY", "GOOGLE_API_KEY", *PROVIDERS.values()):
        monkeypatch.delenv(variable, raising=False)
    ledger = Ledger()
    pool = ModelPool([ModelCard(name="m", model=model, price={"input": 1, "output": 1})], retries=0)
    with pytest.raises(errors.AuthenticationError, match=PROVIDERS.get(model, "OPENAI_API_KEY")):
        pool.invoke("m", "hi", ledger=ledger)
    assert ledger.spent.picousd == 0


def test_a_model_whose_provider_nobody_knows_is_told_how_to_name_one():
    pool = ModelPool([ModelCard(name="m", model="nosuch/thing", price="free")], retries=0)
    with pytest.raises(errors.ModelNotFoundError, match=r"provider first, as in openai/"):
        pool.invoke("m", "hi")
