"""Embeddings under a ledger: reserved before, settled after, whatever happens in between."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from router_graph.accounts import Accounts
from router_graph.budget import Amount, Budget
from router_graph.errors import BudgetExceededError, ModelConnectionError, ModelError
from router_graph.ledger import Ledger
from router_graph.pool import tokens
from router_graph.pool.embeddings import MeteredEmbeddings

PRICE = {"input": 0.02, "output": 0}
PICO = 20_000
"""Picodollars for a token."""
FAKE = DeterministicFakeEmbedding(size=4)


class Hooked(Embeddings):
    """Runs a function, then embeds."""

    def __init__(self, hook):
        self.hook = hook

    def embed_documents(self, texts):
        self.hook()
        return FAKE.embed_documents(texts)

    def embed_query(self, text):
        return self.embed_documents([text])[0]


class Hanging(Embeddings):
    """Never answers, in async only."""

    def embed_documents(self, texts):
        raise NotImplementedError

    def embed_query(self, text):
        raise NotImplementedError

    async def aembed_documents(self, texts):
        await asyncio.sleep(60)


def metered(ledger, embeddings=FAKE, price=PRICE, **options):
    return MeteredEmbeddings(embeddings, name="embedder", price=price, ledger=ledger, **options)


@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=60), max_size=5))
def test_the_vectors_are_those_of_the_embeddings_and_the_bill_is_the_tokens_of_the_texts(texts):
    ledger = Ledger()
    embeddings = metered(ledger)
    assert embeddings.embed_documents(texts) == FAKE.embed_documents(texts)
    counted = sum(map(tokens.estimate, texts))
    assert (ledger.spent.picousd, ledger.spent.tokens) == (PICO * counted, counted)
    assert ledger.spent.calls == (1 if texts else 0)  # one batch is one call, and an empty one is none
    for entry in ledger.entries.values():
        assert (entry["purpose"], entry["name"], entry["estimated"]) == ("embedding", "embedder", True)
        assert entry["spent"]["picousd"] <= entry["reserved"]["picousd"]
        assert entry["usage"]["input"] == counted


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_query_and_a_batch_are_booked_alike_in_sync_and_async(is_async):
    ledger = Ledger()
    embeddings = metered(ledger)
    if is_async:
        vectors = [await embeddings.aembed_query("one two"), *await embeddings.aembed_documents(["one two"])]
    else:
        vectors = [embeddings.embed_query("one two"), *embeddings.embed_documents(["one two"])]
    assert vectors == [FAKE.embed_query("one two")] * 2
    assert [row["tokens"] for row in ledger.bill()] == [2, 2]


def test_what_is_under_way_is_reserved_at_its_worst_case():
    seen = []
    ledger = Ledger()
    metered(ledger, Hooked(lambda: seen.append(ledger.reserved))).embed_documents(["four", "more"])
    assert seen == [Amount(picousd=seen[0].tokens * PICO, tokens=seen[0].tokens, calls=1)]
    assert seen[0].tokens >= len("fourmore")
    assert ledger.reserved == Amount()


def test_a_free_model_costs_no_money_but_is_on_the_bill():
    ledger = Ledger()
    metered(ledger, price="free").embed_query("one two three")
    assert (ledger.spent.picousd, ledger.spent.tokens, ledger.spent.calls) == (0, 4, 1)


@pytest.mark.parametrize("budget", [{"usd": 1e-9}, {"tokens": 3}, {"calls": 1}, {"seconds": 0.001}])
async def test_what_does_not_fit_in_the_budget_is_not_sent(budget):
    ledger, sent = Ledger(Budget(**budget)), []
    ledger.settle(ledger.reserve(Amount(), purpose="model", name="m"), Amount(calls=1, milliseconds=1))
    embeddings = metered(ledger, Hooked(lambda: sent.append(1)))
    with pytest.raises(BudgetExceededError):
        embeddings.embed_query("one two three")
    with pytest.raises(BudgetExceededError):
        await embeddings.aembed_documents(["one two three"])
    assert (sent, ledger.reserved) == ([], Amount())


def test_a_call_waits_for_the_budget_that_another_gives_back():
    ledger = Ledger(Budget(tokens=100))
    key = ledger.reserve(Amount(tokens=90), purpose="model", name="m")
    threading.Timer(0.05, ledger.release, [key]).start()
    assert metered(ledger, wait_s=5).embed_query("one two three")


def raised(error):
    def hook():
        raise error

    return hook


@pytest.mark.parametrize(
    ("error", "kind", "is_billed"),
    [
        (ConnectionRefusedError("no"), ModelConnectionError, False),
        (ConnectionResetError("cut"), ModelConnectionError, True),
        (ValueError("boom"), ModelError, True),
        (KeyboardInterrupt(), KeyboardInterrupt, True),
    ],
)
def test_a_failure_is_booked_at_its_worst_case_unless_nothing_was_sent(error, kind, is_billed):
    ledger = Ledger()
    with pytest.raises(kind) as caught:
        metered(ledger, Hooked(raised(error))).embed_query("one two")
    assert caught.value is error or caught.value.__cause__ is error
    (entry,) = ledger.entries.values()
    assert entry["state"] == "settled"
    assert ledger.spent.picousd == (entry["reserved"]["picousd"] if is_billed else 0)
    assert entry["error"] == type(caught.value).__name__


async def test_a_cancelled_call_is_booked_at_its_worst_case():
    ledger = Ledger()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(metered(ledger, Hanging()).aembed_documents(["one"]), 0.01)
    (entry,) = ledger.entries.values()
    assert (entry["state"], entry["error"]) == ("settled", "CancelledError")
    assert entry["spent"]["tokens"] == entry["reserved"]["tokens"]


async def test_calls_side_by_side_never_hold_more_than_the_budget():
    ledger = Ledger(Budget(tokens=200))
    embeddings = metered(ledger)
    results = await asyncio.gather(
        *(embeddings.aembed_documents(["word " * 8]) for _ in range(40)), return_exceptions=True
    )
    assert {type(result) for result in results} <= {list, BudgetExceededError}
    assert (ledger.spent + ledger.reserved).tokens <= 200
    assert ledger.spent.calls == sum(isinstance(result, list) for result in results) > 0


def test_a_ledger_given_as_a_function_is_found_anew_for_each_call():
    accounts = Accounts()
    names = iter(["t1", "t2"])
    embeddings = metered(lambda: accounts.open(next(names)))
    embeddings.embed_query("one")
    embeddings.embed_query("one two")
    assert [accounts.open(name).spent.tokens for name in ("t1", "t2")] == [1, 2]
