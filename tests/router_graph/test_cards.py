"""Model cards: mistakes as sentences, LiteLLM's map for what they leave out, and the line that a policy reads."""

from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.errors import CardError, RouterError, UnknownModelError, UnknownPriceError
from router_graph.money import usd
from router_graph.pool import Live, Measured, ModelCard, ModelPool, Price
from router_graph.pool.pool_file import load_pool

MEASURED = Measured(
    right=41, asked=50, on="NQ dev", date=datetime.date(2026, 1, 2), seconds=1.234, summary="Weak on dates."
)
MISTAKES = [
    ({"name": ""}, "The card '': a name has up to 64 letters"),
    ({}, "A model card: 'name' is missing."),
    ({"name": "a b"}, "The card 'a b': a name has up to 64 letters"),
    ({"name": "a", "cost": 1}, "The card 'a': 'cost' is no known key; known are name, model"),
    ({"name": "a", "prise": "free"}, "'prise' is no known key; did you mean 'price'?"),
    ({"name": "a", "price": "cheap"}, "The card 'a': the price: a price is `free` or USD per million tokens"),
    (
        {"name": "a", "price": {"input": -1, "output": 1}},
        "the price: input is -1; it must be greater",
    ),
    ({"name": "a", "price": {"input": 1}}, "the price: 'output' is missing."),
    ({"name": "a", "max_tokens": 0}, "max_tokens is 0; it must be greater than 0."),
    ({"name": "a", "concurrency": -1}, "concurrency is -1"),
    ({"name": "a", "timeout_s": float("inf")}, "timeout_s is inf"),
    ({"name": "a", "privacy": "secret"}, "privacy is 'secret'; it must be 'local', 'private' or 'external'."),
    ({"name": "a", "params": {"max_tokens": 5}}, "max_tokens is a field of the card itself, beside params."),
    ({"name": "a", "mask": "m", "params": {"mote_mask": "m"}}, "mote_mask in params is the same as the field mask"),
    ({"name": "a", "mask": ""}, "mask is ''"),
    ({"name": "a", "params": {"timeout": 5}}, "timeout cannot be a parameter: the card has timeout_s"),
    ({"name": "a", "price": "free", "ceiling": "free"}, "it has a price and a ceiling"),
    ({"name": "a", "measured": {"right": 1, "asked": 0, "on": "x", "date": "2026-01-01"}}, "measured.asked is 0"),
]


@pytest.mark.parametrize(("given", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence(given, sentence):
    with pytest.raises(CardError) as raised:
        ModelCard(**given)
    said = str(raised.value)
    assert sentence in said
    assert "\n" not in said
    assert "pydantic" not in said
    assert len(said) < 350


@pytest.mark.parametrize("key", ["api_key", "API_KEY", "aws_secret_access_key", "azure_ad_token", "extra_headers"])
def test_a_secret_has_no_place_on_a_card_and_is_not_repeated(key):
    with pytest.raises(CardError, match="api_key_env") as raised:
        ModelCard(
            name="a", params={key: {"Authorization": "sk-canary-123"} if key == "extra_headers" else "sk-canary-123"}
        )
    assert "canary" not in str(raised.value)
    assert "canary" not in repr(raised.value.__cause__)


def test_what_a_card_leaves_out_is_taken_from_litellms_map_and_what_it_says_stays():
    card = ModelCard(name="mini", model="openai/gpt-4o-mini").completed()
    assert (card.price.input, card.price.output, card.price.cached) == (0.15, 0.6, 0.075)
    assert (card.context, card.tools, card.vision) == (128_000, True, True)
    own = ModelCard(name="mini", model="openai/gpt-4o-mini", price="free", context=9, vision=False).completed()
    assert (own.price.is_free, own.context, own.vision, own.tools) == (True, 9, False, True)
    ceiling = ModelCard(name="mini", model="openai/gpt-4o-mini", ceiling={"input": 9, "output": 9}).completed()
    assert ceiling.price is None
    assert ceiling.payable.input == 9


def test_another_transports_model_is_not_looked_up_in_litellms_map():
    card = ModelCard(name="gpt-4o-mini", transport="mine")
    assert card.completed() is card


def test_without_a_price_a_card_says_how_to_give_one():
    card = ModelCard(name="mine", model="openai/nobody-knows-it")
    with pytest.raises(UnknownPriceError, match=r"'mine' costs; add `price: .*`ceiling:`"):
        _ = card.payable
    with pytest.raises(UnknownPriceError):
        ModelPool([card])


def test_the_description_is_one_line_with_the_numbers_that_hold_now():
    card = ModelCard(
        name="mini",
        price={"input": 0.2, "output": 0.5},
        context=128_000,
        tools=True,
        privacy="private",
        strengths="Quick.",
        measured=MEASURED,
    )
    assert card.describe() == (
        "mini: $0.20 in / $0.50 out per million tokens, $0.00020 for 500 tokens in and 200 out, 1.2 s a call, "
        "context 128,000 tokens, tools, private, 41 of 50 right on NQ dev. Quick. Weak on dates."
    )
    live = Live()
    live.begin()
    live.succeeded(seconds=0.456, usd=0.0123)
    assert "$0.012 a call lately, 0.46 s a call" in card.describe(live)


@pytest.mark.parametrize(("amount", "shown"), [(0.015, "$0.015"), (0.075, "$0.075"), (0.5, "$0.50"), (3, "$3.00")])
def test_a_price_keeps_two_digits_that_say_something(amount, shown):
    assert usd(amount) == shown


def test_a_typical_call_is_at_its_price_and_not_at_that_of_writing_a_cache():
    price = Price(input=3, output=15, cached=0.3, cache_written=3.75)
    assert "$0.0045 for 500 tokens in and 200 out" in ModelCard(name="a", price=price).describe()


def test_a_key_in_place_of_its_variable_is_refused_and_not_repeated():
    with pytest.raises(CardError, match="if it is a key, revoke it") as raised:
        ModelCard(name="a", price="free", api_key_env="sk-proj-canary0123456789")
    assert "canary" not in str(raised.value)


def test_a_description_says_free_and_unknown_and_at_most():
    assert ModelCard(name="a", price="free").describe() == "a: free."
    assert ModelCard(name="a").describe() == "a: price unknown."
    assert "at most $3.00 in / $9.00 out" in ModelCard(name="a", ceiling={"input": 3, "output": 9}).describe()


cards = st.builds(
    ModelCard,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@/-]{0,30}", fullmatch=True),
    price=st.none() | st.builds(Price, input=st.floats(0, 1000), output=st.floats(0, 1000)),
    context=st.none() | st.integers(1, 10**7),
    strengths=st.text(st.characters(categories=["L", "Nd", "Zs"]), max_size=50),
    privacy=st.sampled_from(["local", "private", "external"]),
    measured=st.none() | st.just(MEASURED),
)


@given(cards)
def test_a_card_survives_json_and_describes_itself_in_one_line(card):
    again = ModelCard.model_validate(json.loads(card.model_dump_json()))
    assert again == card
    line = card.describe()
    assert line.startswith(f"{card.name}: ")
    assert len(line.splitlines()) == 1


FILE = """
models:
  - name: mini
    model: openai/gpt-4o-mini
    max_tokens: 300
  - name: own  # beside us
    model: openai/qwen
    api_base: http://127.0.0.1:1/v1
    price: free
    privacy: local
    measured: {right: 9, asked: 12, on: probe tasks, date: 2026-01-02}
fallbacks:
  mini: [own]
retries: 0
"""


def test_a_pool_file_is_read_with_all_that_it_says(tmp_path):
    (tmp_path / "pool.yaml").write_text(FILE)
    pool = load_pool(tmp_path / "pool.yaml")
    assert list(pool.cards) == ["mini", "own"]
    assert pool.card("mini").price.input == 0.15
    assert pool.card("own").measured.date == datetime.date(2026, 1, 2)
    assert pool.describe(["own"]) == "own: free, local, 9 of 12 right on probe tasks."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("models: [", "it is no YAML in line 1"),
        ("", "it is empty"),
        ("models: []", "'models' is missing"),
        ("modells: [{name: a}]", "'modells' is no known key; did you mean 'models'?"),
        ("models: [{name: a, price: free}, {name: a, price: free}]", "Two cards are called 'a'"),
        ("models: [{name: a, price: free, timeout: 3}]", "The card 'a': 'timeout' is no known key"),
        ("models: [{name: a, price: free}]\nfallbacks: {a: [b]}", "The pool has no model 'b'"),
        ("models: [{name: a, model: openai/nobody-knows-it}]", "Nobody knows what 'a' costs"),
        ("models: [{name: a, transport: carrier-pigeon, price: free}]", "names the transport 'carrier-pigeon'"),
    ],
)
def test_a_mistake_in_a_pool_file_is_one_sentence_too(tmp_path, text, sentence):
    path = tmp_path / "pool.yaml"
    path.write_text(text)
    with pytest.raises((CardError, UnknownModelError)) as raised:
        load_pool(path)
    assert isinstance(raised.value, RouterError)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
