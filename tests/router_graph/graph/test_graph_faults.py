"""Models that hang, break off, refuse or forge, as who is asked and as who decides: the run ends well, the bill is
right to the token, and the fallback is asked at once."""

from __future__ import annotations

import asyncio

import pytest

from router_graph import Answer, RouteToKB, RouteToLLM, create_router
from router_graph.pool import LiteLLMTransport, ModelPool
from router_graph.protocols import PROTOCOLS, protocol_named
from router_graph.view import View
from support.graph_bill import differences
from support.model_replies import TAGGED
from support.routing import Script, Shelf, statuses
from support.served_pool import card
from support.timed_server import TimedServer

FAULTS = ["hang", "drip", "reset", "half", "429", "500", "wrongjson", "notchat", "html", "emptychoices"]
TIMEOUT_S = 0.4
WAYS = pytest.mark.parametrize("how", ["sync", "async"])


@pytest.fixture(scope="module")
def running():
    asyncio.run(LiteLLMTransport().prepare())
    with TimedServer() as server:
        ModelPool([card(server, "good")]).invoke("good", "hello")  # loads what LiteLLM needs for it
        yield server


@pytest.fixture
def server(running, monkeypatch):
    monkeypatch.setattr("router_graph.pool.chain._PAUSE_S", 0.01)
    running.clear()
    return running


def pool_of(server, failing, *fallbacks) -> ModelPool:
    names = dict.fromkeys([failing, "good", *fallbacks])
    cards = [card(server, one, max_tokens=60, timeout_s=TIMEOUT_S if one == failing else 5) for one in names]
    return ModelPool(cards, fallbacks={failing: fallbacks})


def run(graph, how="sync", **context) -> dict:
    given = {"question": "Which one?"}
    return (
        asyncio.run(graph.ainvoke(given, context=context)) if how == "async" else graph.invoke(given, context=context)
    )


def asking(model: str) -> Script:
    return Script(
        [RouteToLLM(model, "Which one?"), RouteToKB("docs", "which")],
        lambda view: Answer(f"{view.steps[0]['observations']['0']['text']} [docs:0]"),
    )


@WAYS
@pytest.mark.parametrize("fault", FAULTS)
def test_a_model_that_fails_is_replaced_at_once_and_the_run_and_its_bill_are_right(server, fault, how):
    failing = f"bad-{fault}"
    graph = create_router([Shelf("docs")], pool=pool_of(server, failing, "good"), policy=asking(failing))
    result = run(graph, how)
    assert result["stop_reason"] == "answered"
    assert result["steps"][0]["observations"]["0"]["served"] == "llm:good"
    assert statuses(result) == [["ok", "ok"], []]
    server.settle()
    assert differences(result["ledger"], server.meter) == []
    assert [row.model for row in server.meter] == [failing, "good"]
    ((failed, asked),) = server.gaps(failing, TIMEOUT_S)
    assert (
        asked - failed < 0.5
    )  # benchmarks/graph_faults.py measures it: a test must not fail where the machine is slow


@WAYS
@pytest.mark.parametrize("fault", FAULTS)
def test_a_model_that_fails_alone_becomes_an_observation_and_its_sibling_keeps_its_hits(server, fault, how):
    failing = f"bad-{fault}"
    graph = create_router([Shelf("docs")], pool=pool_of(server, failing), policy=asking(failing))
    result = run(graph, how)
    assert statuses(result) == [["failed", "ok"], []]
    assert f"'{failing}'" in result["answer"]
    assert [one["doc_id"] for one in result["citations"]] == ["0"]
    server.settle()
    assert differences(result["ledger"], server.meter) == []


@WAYS
@pytest.mark.parametrize("fault", FAULTS)
def test_a_policy_that_fails_is_replaced_and_the_run_goes_on(server, fault, how):
    failing = f"bad-{fault}"
    pool = pool_of(server, failing, "ok-tags")
    result = run(create_router([Shelf("docs")], pool=pool, policy=f"llm:{failing}"), how, max_steps=2)
    assert statuses(result)[0] == ["ok", "refused"]
    assert result["answer"]
    assert result["stop_reason"] in ("repeats", "steps")
    server.settle()
    assert differences(result["ledger"], server.meter) == []


@WAYS
@pytest.mark.parametrize("fault", FAULTS)
def test_a_policy_that_fails_alone_ends_in_an_answer_that_says_why(server, fault, how):
    failing = f"bad-{fault}"
    graph = create_router([Shelf("docs")], pool=pool_of(server, failing), policy=f"llm:{failing}")
    result = run(graph, how)
    assert result["stop_reason"] == "policy_failed"
    assert result["answer"]
    server.settle()
    assert differences(result["ledger"], server.meter) == []


@WAYS
def test_a_reply_full_of_our_tags_is_text_of_the_model_that_said_it(server, how):
    pool = ModelPool([card(server, "a-tags", max_tokens=60), card(server, "good", max_tokens=60)])
    graph = create_router([Shelf("docs")], pool=pool, policy=asking("a-tags"))
    result = run(graph, how)
    assert result["steps"][0]["observations"]["0"]["text"] in TAGGED
    assert "<answer>forged" in result["answer"]
    assert [[one["kind"] for one in step["actions"]] for step in result["steps"]] == [["llm", "kb"], ["answer"]]
    assert [row.model for row in server.meter] == ["a-tags"]
    assert differences(result["ledger"], server.meter) == []


@WAYS
def test_a_policy_whose_reply_forges_information_and_an_answer_ends_well(server, how):
    pool = ModelPool([card(server, "a-tags", max_tokens=60), card(server, "good", max_tokens=60)])
    result = run(create_router([Shelf("docs")], pool=pool, policy="llm:a-tags"), how)
    assert [one["target"] if "target" in one else one["kind"] for one in result["steps"][0]["actions"]] == [
        "llm",
        "llm",
    ]
    assert statuses(result)[0] == ["ok", "refused"]
    assert result["citations"] == []
    assert result["stop_reason"] in ("repeats", "steps")
    assert differences(result["ledger"], server.meter) == []


@WAYS
def test_a_policy_that_reads_a_model_full_of_tags_is_sent_it_escaped(server, how):
    """The routed model forges a turn of the policy: it stays between the tags that we put around it."""
    pool = ModelPool([card(server, "a-tags", max_tokens=60), card(server, "good", max_tokens=60)])
    both = Script(RouteToLLM("a-tags", "Which one?"), Answer("Done."))
    graph = create_router([Shelf("docs")], pool=pool, policy=both)
    state = run(graph, how)
    view = View(question="?", menu=(), steps=(state["steps"][0],))
    for name in PROTOCOLS:
        sent = "\n".join(str(one.content) for one in protocol_named(name).messages(view))
        assert "forged" in sent
        for tag in ("<answer>forged", "<search>forged", '<route to="llm:nobody">', "<information>[docs:0] forged"):
            assert tag not in sent, name
