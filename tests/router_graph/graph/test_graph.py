"""The graph as a whole, with scripted policies: routes side by side, failures as observations, always an answer."""

from __future__ import annotations

import asyncio
import gc
import json
import time

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.retrievers import BaseRetriever

from kb_tools import Catalog, Passage
from router_graph import Answer, Knowledge, Resources, RouterContext, RouterError, RouteToKB, RouteToLLM, create_router
from router_graph.pool import ModelCard, ModelPool
from support.routing import Script, Shelf, statuses


def run(graph, question="Which one?", **context):
    return graph.invoke({"question": question}, context=RouterContext(**context))


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_turn_ends_with_answer_citations_reason_ledger_and_steps(is_async):
    graph = create_router([Shelf("docs")], policy=Script(RouteToKB("docs", "first"), Answer("It is one [docs:0].")))
    given = {"messages": [HumanMessage("Which one?")]}
    result = await graph.ainvoke(given) if is_async else graph.invoke(given)
    assert result["answer"] == "It is one [docs:0]."
    assert result["citations"] == [{"kb": "docs", "doc_id": "0", "title": "docs 0"}]
    assert result["stop_reason"] == "answered"
    assert [entry["purpose"] for entry in result["ledger"].values()] == ["knowledge_base"]
    assert [step["number"] for step in result["steps"]] == [1, 2]
    assert [type(one) for one in result["messages"]] == [HumanMessage, AIMessage]
    assert set(result) == {"messages", "answer", "citations", "stop_reason", "ledger", "steps"}


def test_a_failing_and_a_slow_knowledge_base_become_observations_and_their_siblings_keep_their_hits():
    bases = [
        Shelf("good"),
        Shelf("broken", error=ValueError("the disk is gone")),
        Knowledge("slow", "Takes its time.", Shelf("slow", slow_s=30), timeout_s=0.2),
    ]
    everywhere = [RouteToKB(name, "x") for name in ("good", "broken", "slow")]
    started = time.perf_counter()
    result = run(create_router(bases, policy=Script(everywhere, Answer("Done."))))
    assert time.perf_counter() - started < 5
    assert statuses(result) == [["ok", "failed", "failed"], []]
    told = result["steps"][0]["observations"]
    assert len(told["0"]["hits"]) == 3
    assert told["1"]["text"] == "'broken' failed: the disk is gone"
    assert told["2"]["text"] == "'slow' did not answer within 0.2 s."


@pytest.mark.parametrize("is_async", [False, True])
async def test_routes_of_one_step_run_side_by_side(is_async):
    bases = [Shelf(f"kb{n}", slow_s=0.3) for n in range(4)]
    graph = create_router(bases, policy=Script([RouteToKB(f"kb{n}", "x") for n in range(4)], Answer("Done.")))
    started = time.perf_counter()
    await graph.ainvoke({"question": "?!"}) if is_async else graph.invoke({"question": "?!"})
    assert time.perf_counter() - started < 0.9


def test_a_policy_that_never_answers_is_made_to_after_max_steps():
    graph = create_router([Shelf("docs")], policy=Script(lambda view: RouteToKB("docs", f"try {len(view.steps)}")))
    result = run(graph, max_steps=3)
    assert (result["answer"], result["stop_reason"]) == ("What there is.", "steps")
    assert len(result["steps"]) == 4


@pytest.mark.parametrize("limit", range(4, 12))
def test_a_low_recursion_limit_ends_with_an_answer(limit):
    graph = create_router([Shelf("docs")], policy=Script(lambda view: RouteToKB("docs", f"try {len(view.steps)}")))
    result = graph.invoke({"question": "?!"}, {"recursion_limit": limit}, context=RouterContext(max_steps=999))
    assert (result["answer"], result["stop_reason"]) == ("What there is.", "steps")


def test_asking_the_same_again_is_told_and_then_ended():
    shelf = Shelf("docs")
    result = run(create_router([shelf], policy=Script(RouteToKB("docs", "Same?"), RouteToKB("docs", "same"))))
    assert statuses(result) == [["ok"], ["repeated"], ["repeated"], []]
    assert shelf.asked == ["Same?"]
    assert result["stop_reason"] == "repeats"
    assert "step 1" in result["steps"][1]["observations"]["0"]["text"]


def test_replies_that_are_no_action_are_ended_after_three():
    class Babbling(Script):
        async def act(self, view, protocol, means):
            act = await super().act(view, protocol, means)
            return act if view.must_answer else type(act)(AIMessage("<route to=nowhere"))

    result = run(create_router([Shelf("docs")], policy=Babbling(Answer("x"))))
    assert result["stop_reason"] == "malformed"
    assert [step["actions"][0]["kind"] for step in result["steps"]] == ["malformed"] * 3 + ["answer"]


def test_names_that_are_not_there_are_refused_with_those_that_are():
    result = run(create_router([Shelf("docs")], policy=Script([RouteToKB("dox", "x"), RouteToLLM("gpt", "x")])))
    assert statuses(result)[0] == ["refused", "refused"]
    assert result["stop_reason"] == "malformed"


def test_seconds_end_a_turn_with_what_there_is():
    graph = create_router([Shelf("docs", slow_s=0.3)], policy=Script(lambda v: RouteToKB("docs", f"{len(v.steps)}")))
    started = time.perf_counter()
    result = run(graph, seconds=0.5, max_steps=100)
    assert time.perf_counter() - started < 2
    assert result["stop_reason"] == "seconds"
    assert result["answer"] == "What there is."


def test_a_priced_knowledge_base_is_masked_when_it_is_too_dear_and_the_budget_is_never_passed():
    base = Knowledge("docs", "Costs.", Shelf("docs"), cost_usd=0.01)
    graph = create_router([base], policy=Script(lambda view: RouteToKB("docs", f"try {len(view.steps)}")))
    result = run(graph, usd=0.025, max_steps=50)
    assert result["stop_reason"] == "usd"
    assert sum(entry["spent"]["picousd"] for entry in result["ledger"].values()) == 2 * 10**10
    assert "too dear" in result["steps"][-1]["decision"]["masked"]["kb:docs"]


def test_with_nobody_to_ask_there_is_an_answer_all_the_same():
    result = run(create_router([], policy=Script(RouteToKB("docs", "x"))))
    assert result["stop_reason"] == "no_options"
    assert result["answer"]


def test_a_linked_search_looks_only_among_the_documents_that_a_hit_links_to():
    shelf = Shelf("docs", ["a", "b", "c"], links={"see also": ["2"]})
    script = Script(RouteToKB("docs", "x", k=1), RouteToKB("docs", "y", linked="docs:0"), Answer("Done."))
    result = run(create_router([shelf], policy=script))
    assert [hit["doc_id"] for hit in result["steps"][1]["observations"]["0"]["hits"]] == ["2"]


def test_a_link_of_a_document_that_was_not_found_is_refused():
    script = Script(RouteToKB("docs", "y", linked="docs:9"), Answer("Done."))
    assert statuses(run(create_router([Shelf("docs")], policy=script)))[0] == ["refused"]


def test_a_model_is_asked_with_the_evidence_and_says_who_it_is():
    pool = ModelPool(
        [ModelCard(name="small", price="free", transport="own")],
        transports={"own": FakeListChatModel(responses=["Prague."])},
    )
    script = Script(RouteToKB("docs", "x"), RouteToLLM("small", "Which city?", evidence=True), Answer("Prague."))
    result = run(create_router([Shelf("docs")], pool=pool, policy=script))
    told = result["steps"][1]["observations"]["0"]
    assert (told["status"], told["text"], told["served"]) == ("ok", "Prague.", "llm:small")
    assert {entry["purpose"] for entry in result["ledger"].values()} == {"knowledge_base", "model"}


def test_a_retriever_of_langchain_is_a_knowledge_base_once_it_has_a_name():
    class Two(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return [Document(id="x", page_content=query, metadata={"title": "T"}), Document(page_content="other")]

    graph = create_router([Knowledge("two", "Two documents.", Two())], policy=Script(RouteToKB("two", "q", k=1)))
    hits = run(graph, max_steps=1)["steps"][0]["observations"]["0"]["hits"]
    assert [(hit["kb"], hit["doc_id"], hit["title"], hit["text"]) for hit in hits] == [("two", "x", "T", "q")]
    with pytest.raises(RouterError, match='give them as Knowledge\\("name"'):
        create_router([Two()])


def test_a_policy_of_ones_own_may_fail_with_a_router_error_and_the_run_ends_with_what_was_found():
    class Failing(Script):
        async def act(self, view, protocol, means):
            if view.steps:
                raise RouterError("no more")
            return await super().act(view, protocol, means)

    result = run(
        create_router([Shelf("docs", ["Prague is a city."])], policy=Failing(RouteToKB("docs", "Prague"))),
        "Which city?",
    )
    assert result["stop_reason"] == "policy_failed"
    assert "Prague" in result["answer"]


def test_the_same_route_twice_in_one_reply_is_taken_once_and_a_flood_of_routes_is_cut():
    shelf = Shelf("docs")
    twice = [RouteToKB("docs", "Same"), RouteToKB("docs", "same!")]
    assert statuses(run(create_router([shelf], policy=Script(twice, Answer("a")))))[0] == ["ok", "repeated"]
    assert shelf.asked == ["Same"]
    flood = [RouteToKB("docs", f"query {n}") for n in range(100)]
    told = statuses(run(create_router([shelf], policy=Script(flood, Answer("a")))))[0]
    assert told == ["ok"] * 16 + ["refused"] * 84


async def test_a_cancelled_run_leaves_no_account_open_where_nobody_can_resume_it():
    resources = Resources([Shelf("slow", slow_s=30)], policy=Script(RouteToKB("slow", "x"), Answer("a")))
    running = asyncio.create_task(create_router(resources).ainvoke({"question": "?!"}))
    await asyncio.sleep(0.2)
    assert resources.accounts._live
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gc.collect()
    assert not resources.accounts._live and not resources.accounts._kept


def test_a_knowledge_base_of_kb_tools_with_fewer_documents_than_asked_for_gives_all_that_it_has(tmp_path):
    class Letters(Embeddings):
        def embed_documents(self, texts):
            return [[float(text.count(letter) + 1) for letter in "abcdefgh"] for text in texts]

        def embed_query(self, text):
            return self.embed_documents([text])[0]

    with Catalog(tmp_path, embedding=Letters()) as catalog:
        kb = catalog.create("facts", description="Facts.")
        graph = create_router([kb], policy=Script(RouteToKB("facts", "prague", k=5), Answer("a")))
        assert statuses(run(graph))[0] == ["empty"]
        kb.add([Passage(id="p", title="Prague", text="Prague is a city.", metadata={"year": 1348})])
        result = run(graph)
    hit = result["steps"][0]["observations"]["0"]["hits"][0]
    assert (hit["kb"], hit["doc_id"], hit["metadata"]) == ("facts", "p", {"year": 1348})
    assert json.loads(json.dumps(hit)) == hit


def test_a_search_waits_for_the_money_that_a_call_beside_it_holds_and_does_not_take():
    slow = FakeListChatModel(responses=["says little"], sleep=0.2)
    card = ModelCard(name="m", price={"input": 1, "output": 1}, transport="t", max_tokens=1000)
    pool = ModelPool([card], transports={"t": slow})
    base = Knowledge("docs", "D.", Shelf("docs"), cost_usd=0.0005)
    both = Script([RouteToLLM("m", "x"), RouteToKB("docs", "x")], Answer("Done."))
    assert statuses(run(create_router([base], pool=pool, policy=both), usd=0.0016)) == [["ok", "ok"], []]
