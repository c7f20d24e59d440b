"""Single nodes in graphs of another make."""

from __future__ import annotations

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from router_graph import (
    Answer,
    Exclusion,
    Resources,
    RouterError,
    RouterState,
    RouteToKB,
    RouteToLLM,
    create_router,
    make_answer_node,
    make_kb_node,
    make_llm_node,
    make_think_node,
    route_after_think,
)
from router_graph.pool import ModelCard, ModelPool
from support.routing import Script, Shelf, statuses

GIVEN = {"messages": [HumanMessage("Which city?")]}


class Found(MessagesState):
    hits: list
    observation: dict


def test_what_a_single_model_was_shown_goes_with_its_message_for_the_rules_of_another_graph():
    cards = [ModelCard(name="m", price="free", transport="t"), ModelCard(name="other", price="free", transport="t")]
    pool = ModelPool(cards, transports={"t": FakeListChatModel(responses=["Ann earns 7."])})
    app = StateGraph(Found)
    app.add_node("search", make_kb_node(Shelf("hr")))
    app.add_node("write", make_llm_node(pool, "m"))
    app.add_edge(START, "search")
    app.add_edge("search", "write")
    said = app.compile().invoke(GIVEN)["messages"]
    rules = [Exclusion(knowledge_bases=["hr"], models=["other"])]
    script = Script(RouteToLLM("other", "x"), Answer("a"))
    graph = create_router([Shelf("hr")], pool=pool, policy=script, exclusions=rules)
    assert statuses(graph.invoke({"messages": [*said, HumanMessage("And?")]}))[0] == ["refused"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_search_and_a_model_stand_in_a_foreign_graph(is_async):
    pool = ModelPool(
        [ModelCard(name="m", price="free", transport="t")], transports={"t": FakeListChatModel(responses=["Prague"])}
    )
    shelf = Shelf("docs")
    app = StateGraph(Found)
    app.add_node("search", make_kb_node(shelf))
    app.add_node("write", make_llm_node(pool))
    app.add_edge(START, "search")
    app.add_edge("search", "write")
    app.add_edge("write", END)
    graph = app.compile()
    result = await graph.ainvoke(GIVEN) if is_async else graph.invoke(GIVEN)
    assert shelf.asked == ["Which city?"]
    assert [hit["kb"] for hit in result["hits"]] == ["docs"] * 3, "the model leaves what was found where it is"
    assert result["messages"][-1].text == "Prague"
    assert result["observation"]["served"] == "llm:m"


def test_the_whole_loop_can_be_wired_by_hand():
    resources = Resources([Shelf("docs")], policy=Script(RouteToKB("docs", "x"), Answer("Done [docs:0].")))
    app = StateGraph(RouterState)
    app.add_node("think", make_think_node(resources))
    app.add_node("route_to_kb", make_kb_node(resources))
    app.add_node("finish", make_answer_node(resources))
    app.add_edge(START, "think")
    app.add_conditional_edges("think", route_after_think, ["think", "route_to_kb", "finish"])
    app.add_edge("route_to_kb", "think")
    app.add_edge("finish", END)
    result = app.compile().invoke(GIVEN)
    assert (result["answer"], result["stop_reason"]) == ("Done [docs:0].", "answered")
    assert result["citations"][0]["doc_id"] == "0"
    assert len(result["steps"]) == 2


def test_nodes_without_what_they_need_say_so():
    with pytest.raises(RouterError, match="no model to ask"):
        make_llm_node(ModelPool())
    with pytest.raises(RouterError, match="no knowledge base"):
        make_kb_node("docs")
