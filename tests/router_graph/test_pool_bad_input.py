"""What a person gets wrong: one sentence that says what was given and how to mend it, before anything is sent."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage

from router_graph import errors
from router_graph.budget import Budget
from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool
from support.model_server import ModelServer


@pytest.fixture(scope="module")
def server():
    with ModelServer() as running:
        yield running


def card(server: ModelServer | None = None, name: str = "good", **fields: object) -> ModelCard:
    base = None if server is None else server.url
    return ModelCard(**{"name": name, "model": f"openai/{name}", "api_base": base, "price": "free", **fields})


def sentence(error: BaseException) -> str:
    text = str(error)
    assert 10 < len(text) < 350 and "\n" not in text and "http" not in text
    return text


def test_two_cards_of_one_name(server):
    with pytest.raises(errors.CardError, match=r"Two cards are called 'good'") as caught:
        ModelPool([card(server), card(server)])
    sentence(caught.value)


def test_a_model_without_a_price_is_told_how_to_give_one():
    with pytest.raises(errors.UnknownPriceError, match=r"price: free") as caught:
        ModelPool([card(name="my-own", price=None)])
    sentence(caught.value)


def test_a_model_that_is_misspelt_is_told_what_the_price_map_has():
    with pytest.raises(errors.UnknownPriceError, match=r"openai/gpt-4o-mini|gpt-4o-mini") as caught:
        ModelPool([ModelCard(name="small", model="openai/gpt-4o-minni")])
    sentence(caught.value)


@pytest.mark.parametrize("how", ["invoke", "stream", "fallback", "describe", "chat model"])
def test_a_name_that_the_pool_does_not_know_gets_the_nearest(server, how):
    pool = ModelPool([card(server, "good"), card(server, "better")])
    ask = {
        "invoke": lambda: pool.invoke("goood", "hi"),
        "stream": lambda: list(pool.stream("goood", "hi")),
        "fallback": lambda: pool.invoke("good", "hi", fallbacks=["goood"]),
        "describe": lambda: pool.describe(["goood"]),
        "chat model": lambda: pool.as_chat_model("goood"),
    }[how]
    with pytest.raises(errors.UnknownModelError, match=r"'goood'.*'good'") as caught:
        ask()
    sentence(caught.value)


@pytest.mark.parametrize(
    "given",
    [{"usd": 0}, {"usd": -1}, {"usd": float("nan")}, {"usd": "much"}, {"calls": 1.5}, {"tokens": 0}, {"dollars": 1}],
)
def test_a_budget_that_cannot_be_kept(given):
    with pytest.raises(errors.BudgetError, match=next(iter(given))) as caught:
        Budget(**given)
    sentence(caught.value)


@pytest.mark.parametrize("given", [{"timeout_s": -1}, {"timeout_s": 0}, {"concurrency": 0}, {"max_tokens": -3}])
def test_a_card_whose_numbers_cannot_be(given):
    with pytest.raises(errors.CardError, match=next(iter(given))) as caught:
        card(**given)
    sentence(caught.value)


@pytest.mark.parametrize("given", [{"retries": -1}, {"failures": 0}, {"rest_s": -1.0}])
def test_a_pool_whose_numbers_cannot_be(given):
    with pytest.raises(errors.RouterError, match=next(iter(given))) as caught:
        ModelPool([card()], **given)
    sentence(caught.value)


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize(
    "messages",
    [[], [42], 42, None, [("wizard", "hi")], [{"role": "user"}], [HumanMessage([{"type": "nosuch", "x": 1}])]],
    ids=repr,
)
def test_messages_of_no_known_form_are_refused_and_not_sent(server, messages, how):
    pool, ledger, row = ModelPool([card(server)], retries=0), Ledger(), len(server.meter)
    with pytest.raises(errors.RequestRejectedError) as caught:
        pool.invoke("good", messages, ledger=ledger) if how == "invoke" else list(
            pool.stream("good", messages, ledger=ledger)
        )
    sentence(caught.value)
    assert (ledger.spent.picousd, len(server.meter)) == (0, row)


@pytest.mark.parametrize(
    "given",
    [
        {"n": 3},
        {"max_completion_tokens": 10_000},
        {"stream": True},
        {"model": "other"},
        {"api_key": "canary-0123456789"},
        {"api_base": "http://127.0.0.1:9"},
        {"num_retries": 3},
        {"fallbacks": ["other"]},
        {"service_tier": "priority"},
        {"web_search_options": {}},
        {"extra_body": {"max_tokens": 10_000}},
        {"extra_body": {"n": 5}},
        {"extra_body": {"models": ["other"]}},
        {"additional_drop_params": ["max_tokens"]},
        {"deployment_id": "other"},
        {"mock_response": "free of charge"},
        {"prediction": {"type": "content", "content": "long"}},
        {"modalities": ["text", "audio"]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"googleSearch": {}}]},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_parameter_that_would_pass_the_ledger_by_is_refused(server, given):
    pool, row = ModelPool([card(server)], retries=0), len(server.meter)
    if "fallbacks" not in given:  # which a call has as an option
        with pytest.raises(errors.RequestRejectedError, match=next(iter(given))) as caught:
            pool.invoke("good", "hi", **given)
        assert "canary" not in sentence(caught.value)
    with pytest.raises(errors.CardError, match=next(iter(given))) as caught:
        card(server, "with-it", params=given)
    assert "canary" not in sentence(caught.value)
    assert len(server.meter) == row
