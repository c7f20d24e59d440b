"""Runs in LangChain's agents, in graphs around the router, and in more processes than one, as the log has them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from router_graph import Budget, RouterMiddleware, RouteToKB, create_router, router_as_tool
from router_graph.actions import Answer
from router_graph.pool import ModelCard, ModelPool
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from support.routing import Script, Shelf


class Scripted(GenericFakeChatModel):
    """Says what it is given to say, whatever tools it is offered."""

    def bind_tools(self, tools, **options):
        return self.bind(tools=[one if isinstance(one, dict) else one.name for one in tools])


def says(*replies):
    return Scripted(messages=iter(replies))


def asks(name, **arguments):
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": "1"}])


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def test_an_agent_whose_models_are_chosen_is_logged_as_the_calls_of_those_that_served(tmp_path):
    pool = ModelPool(
        [
            ModelCard(name=name, transport=name, price={"input": n, "output": n}, tools=True)
            for n, name in ((9, "dear"), (1, "cheap"))
        ],
        transports={"dear": says(), "cheap": says(asks("add", a=1, b=1), AIMessage("It is 2."))},
    )
    middleware = RouterMiddleware(pool, budget=Budget(usd=1))
    agent = create_agent(pool.as_chat_model("dear"), [add], middleware=[middleware])
    with Recorder(tmp_path) as recorder:
        config = {"callbacks": [recorder], "metadata": {"question_id": "q"}}
        agent.invoke({"messages": [("user", "Add 1 to 1.")]}, config)
        assert not recorder.lost and not recorder._chains and not recorder._calls
    (run,) = read_runs(tmp_path)
    assert (run.is_ours, run.status, run.question, run.answer) == (False, "ended", "Add 1 to 1.", "It is 2.")
    assert run.question_id == "q" and [one["model"] for one in run.calls] == ["cheap", "cheap"]
    assert [[call["name"] for call in one["tool_calls"]] for one in run.calls] == [["add"], []]
    assert [one["role"] for one in run.calls[1]["prompt"]] == ["human", "ai", "tool"]


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
def test_a_router_that_an_agent_asks_is_a_run_of_its_own_inside_the_agents(tmp_path, how):
    router = create_router([Shelf("docs")], policy=Script(RouteToKB("docs", "first"), Answer("Oslo [docs:0]")))
    model = says(asks("ask_router", question="Which town?"), AIMessage("It is Oslo."))
    agent = create_agent(model, [router_as_tool(router)])
    with Recorder(tmp_path) as recorder:
        given, config = {"messages": [("user", "Where?")]}, {"callbacks": [recorder]}
        if how == "ainvoke":
            asyncio.run(agent.ainvoke(given, config))
        else:
            agent.invoke(given, config)
        assert not recorder.lost and not recorder._chains and not recorder._calls
    runs = {run.is_ours: run for run in read_runs(tmp_path)}
    ours, agents = runs[True], runs[False]
    assert len(runs) == 2 and ours.parent_id == agents.run_id
    assert (ours.question, ours.answer, ours.status) == ("Which town?", "Oslo [docs:0]", "ended")
    assert [one.is_whole for one in ours.steps] == [True, True] and not ours.calls
    assert (agents.question, agents.answer, agents.status) == ("Where?", "It is Oslo.", "ended")
    assert [one["reply"] for one in agents.calls] == ["", "It is Oslo."]


PROGRAM = """
import sys
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from router_graph import RouterContext, create_router
from router_graph.actions import Answer, RouteToKB
from router_graph.trajectories.recorder import Recorder
from support.routing import Script, Shelf

class Dear(Shelf):
    cost_usd = 0.5

folder, given = sys.argv[1:]
policy = Script([RouteToKB("one", "q"), RouteToKB("two", "q")], RouteToKB("free", "q"), Answer("Yes [one:0]"))
unasked = RouterContext(ask_above_usd=0.1)
router = create_router([Dear("one"), Dear("two"), Shelf("free")], policy=policy, defaults=unasked)
with SqliteSaver.from_conn_string(f"{folder}/threads.sqlite") as threads, Recorder(f"{folder}/runs") as recorder:
    graph = StateGraph(MessagesState).add_node("router", router).add_edge(START, "router").compile(threads)
    config = {"configurable": {"thread_id": "t"}, "callbacks": [recorder], "metadata": {"question_id": "q"}}
    if given == "resume":
        waiting = graph.get_state(config).interrupts
        given = Command(resume={one.id: one.value["target"] == "kb:one" for one in waiting})
    else:
        given = {"messages": [("user", given)]}
    graph.invoke(given, config)
    assert not recorder.lost and not recorder._chains and not recorder._calls
"""


def test_a_router_in_another_graph_waits_for_a_person_and_goes_on_in_another_process(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for given, status, steps in (("Is it so?", "open", [False]), ("resume", "ended", [True, True, True])):
        subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path), given], env=environment, check=True)
        (run,) = read_runs(tmp_path / "runs")
        assert (run.status, [one.is_whole for one in run.steps]) == (status, steps)
    assert len(list((tmp_path / "runs").rglob("*.jsonl"))) == 2
    assert (run.is_ours, run.question, run.answer, run.question_id) == (True, "Is it so?", "Yes [one:0]", "q")
    assert [one["status"] for one in run.steps[0].step["observations"].values()] == ["ok", "declined"]
