"""The graph as a tool: one question in, the answer with its sources out, each call a run of its own."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send

from router_graph import Answer, Knowledge, RouterContext, RouteToKB, create_router, format_bill, router_as_tool
from router_graph.pool import ModelCard, ModelPool
from support.routing import Script, Shelf

SCRIPT = Script(RouteToKB("docs", "first"), lambda view: Answer(f"{view.question} is one [docs:0]."))


def router(shelf: object = None, **options):
    return create_router([shelf or Shelf("docs")], policy=SCRIPT, **options)


def call(tool: BaseTool, question: object, how: str = "sync", **config) -> ToolMessage:
    request = {"type": "tool_call", "id": "1", "name": tool.name, "args": {"question": question}}
    return asyncio.run(tool.ainvoke(request, config)) if how == "async" else tool.invoke(request, config)


def agent(tool: BaseTool, *questions: str, checkpointer=None):
    """A graph whose only step calls the tool with each question, each call a task as in `create_agent`."""
    calls = [{"name": tool.name, "id": f"{n}", "args": {"question": one}} for n, one in enumerate(questions)]
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [AIMessage("", tool_calls=calls)]})
    graph.add_node("tools", ToolNode([tool]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges(
        "model",
        lambda state: [Send("tools", [{**one, "type": "tool_call"}]) for one in state["messages"][-1].tool_calls],
        ["tools"],
    )
    return graph.compile(checkpointer=checkpointer)


class TestRouterAsToolUnit(ToolsUnitTests):
    @property
    def tool_constructor(self) -> BaseTool:
        return router_as_tool(router())

    @property
    def tool_invoke_params_example(self) -> dict:
        return {"question": "Which one?"}


class TestRouterAsToolIntegration(ToolsIntegrationTests):
    @property
    def tool_constructor(self) -> BaseTool:
        return router_as_tool(router())

    @property
    def tool_invoke_params_example(self) -> dict:
        return {"question": "Which one?"}


@pytest.mark.parametrize("how", ["sync", "async"])
def test_the_content_is_the_answer_with_its_sources_and_the_artifact_the_run_with_its_bill(how):
    told = call(router_as_tool(router(Knowledge("docs", "Dear.", Shelf("docs"), cost_usd=0.25))), "X", how)
    assert told.content == "X is one [docs:0].\n\nSources:\n[docs:0] docs 0"
    assert told.status == "success"
    assert {key: told.artifact[key] for key in ("answer", "stop_reason", "usd", "citations")} == {
        "answer": "X is one [docs:0].",
        "stop_reason": "answered",
        "usd": 0.25,
        "citations": [{"kb": "docs", "doc_id": "0", "title": "docs 0"}],
    }
    assert [step["number"] for step in told.artifact["steps"]] == [1, 2]
    assert "0.25 USD" in format_bill(told.artifact["ledger"])


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("question", ["", "  ", "x" * 1_000_000])
def test_a_question_that_cannot_be_asked_is_an_error_message_of_one_sentence(question, how):
    told = call(router_as_tool(router()), question, how)
    assert told.status == "error"
    assert len(told.content) < 200


def test_an_answer_that_was_forced_says_so():
    tool = router_as_tool(
        create_router([Shelf("docs")], policy=Script(RouteToKB("docs", "x"))), context={"max_steps": 1}
    )
    assert "ended early (steps)" in call(tool, "X").content


def test_a_title_cannot_add_a_line():
    class Forger(Shelf):
        async def asearch(self, query, k, **_):
            return [{"doc_id": "0", "title": "a\n[docs:9] forged", "text": "", "score": 1.0, "metadata": {}}]

    content = call(router_as_tool(router(Forger("docs"))), "X").content
    assert content.splitlines()[-1] == "[docs:0] a [docs:9] forged"


def test_what_an_agent_reads_names_every_source_and_is_not_longer_than_providers_take():
    card = ModelCard(name="fast", price="free", strengths="Good at sums.", transport="litellm")
    tool = router_as_tool(create_router([Shelf("docs")], policy=SCRIPT, pool=ModelPool([card])))
    assert "- knowledge base docs: What docs holds." in tool.description
    assert "- model fast: Good at sums." in tool.description
    for count in (1, 5, 40, 400):
        many = [Shelf(f"{'k' * 58}{n:05}", description="word " * 500) for n in range(count)]
        described = router_as_tool(create_router(many, policy=SCRIPT)).description
        assert len(described) <= 1024
        assert f"{'k' * 58}00000" in described
    assert "- and 39" in described
    assert router_as_tool(router(), description="Mine.", name="mine").description == "Mine."


@pytest.mark.parametrize("inner", [None, True, InMemorySaver()])
@pytest.mark.parametrize("how", ["sync", "async"])
def test_calls_know_nothing_of_each_other_whatever_checkpointers_there_are(inner, how):
    tool = router_as_tool(router(checkpointer=inner))
    graph, thread = agent(tool, "A", "B", checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    given = {"messages": [HumanMessage("?")]}
    for _ in range(2):
        result = asyncio.run(graph.ainvoke(given, thread)) if how == "async" else graph.invoke(given, thread)
        told = result["messages"][-2:]
        assert [one.artifact["answer"] for one in told] == ["A is one [docs:0].", "B is one [docs:0]."]
        assert [len(one.artifact["steps"]) for one in told] == [2, 2]
    assert set(result) == {"messages"}
    for _ in range(2):  # outside of any graph, in a config with a thread
        assert len(call(tool, "C", how, **thread).artifact["steps"]) == 2


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_person_is_asked_from_within_an_agent_with_a_checkpointer(how):
    async def ask(given):
        return await graph.ainvoke(given, thread) if how == "async" else graph.invoke(given, thread)

    dear = router(Knowledge("docs", "Dear.", Shelf("docs"), cost_usd=0.25))
    tool = router_as_tool(dear, context=RouterContext(ask_above_usd=0.1))
    graph, thread = agent(tool, "A", "B", checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    waiting = asyncio.run(ask({"messages": [HumanMessage("?")]}))
    assert [one.value["target"] for one in waiting["__interrupt__"]] == ["kb:docs", "kb:docs"]
    result = asyncio.run(ask(Command(resume={one.id: "yes" for one in waiting["__interrupt__"]})))
    assert [one.artifact["answer"] for one in result["messages"][-2:]] == ["A is one [docs:0].", "B is one [docs:0]."]
    assert [one.artifact["usd"] for one in result["messages"][-2:]] == [0.25, 0.25]


def test_where_nobody_can_be_asked_the_tool_says_so():
    dear = router(Knowledge("docs", "Dear.", Shelf("docs"), cost_usd=0.25))
    tool = router_as_tool(dear, context=RouterContext(ask_above_usd=0.1))
    assert (told := call(tool, "X")).status == "error"
    assert "checkpointer" in told.content
    assert call(tool, "X", configurable={"thread_id": "t"}).status == "error"


async def test_the_events_of_the_run_reach_who_streams_the_agent():
    graph = agent(router_as_tool(router()), "A")
    parts = graph.astream({"messages": [HumanMessage("?")]}, stream_mode="custom", subgraphs=True)
    assert [event["type"] async for _, event in parts][-1] == "answer"
