"""A recorder among graphs, nodes and models of another make, and in runs that go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessageChunk
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from router_graph import create_router
from router_graph.actions import Answer, RouteToKB
from router_graph.errors import RouterError
from router_graph.nodes import make_answer_node, make_kb_node, make_think_node, route_after_think
from router_graph.policies.chat import ChatPolicy
from router_graph.policies.policy import Choice
from router_graph.policies.scripted import Scripted
from router_graph.protocols import protocol_named
from router_graph.resources import Resources
from router_graph.state import RouterOutput, RouterState
from router_graph.trajectories.calls import message_of
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.shards import decode
from router_graph.trajectories.views import view_at

ASK = '<think>Hm.</think>\n<route to="kb:facts">a</route>'
SAY = "<answer>yes</answer>"


class Facts:
    description, modality, cost_usd = "capitals", "text", 0.0

    def __init__(self, name="facts"):
        self.name = name

    async def asearch(self, query, k):
        return [{"kb": self.name, "doc_id": query, "title": "T", "text": query, "score": 1.0, "metadata": {}}]


def both_then_answer(view):
    if view.steps:
        return Choice("Known.", (Answer(f"{view.question} [facts:a]"),))
    return Choice("Ask both.", (RouteToKB("facts", "a"), RouteToKB("other", "b")))


def router():
    return create_router([Facts(), Facts("other")], policy=Scripted(both_then_answer))


def fake(*said):
    return GenericFakeChatModel(messages=iter([AIMessage(one) for one in said]))


def chat(*said):
    return ChatPolicy.of(fake(*said), price="free", name="m")


def lines_of(folder):
    return [decode(raw) for path in sorted(folder.rglob("*.jsonl")) for raw in path.read_bytes().splitlines()]


def test_a_think_node_in_a_graph_of_another_make_is_logged_once_with_its_policys_calls(tmp_path):
    resources = Resources([Facts()], policy=chat(ASK, SAY))
    graph = StateGraph(RouterState)
    graph.add_node("think", make_think_node(resources))
    graph.add_node("route_to_kb", make_kb_node(resources))
    graph.add_node("finish", make_answer_node(resources))
    graph.add_edge(START, "think").add_edge("route_to_kb", "think")
    graph.add_conditional_edges("think", route_after_think, ["think", "route_to_kb", "finish"])
    with Recorder(tmp_path) as recorder:
        out = graph.compile().invoke({"question": "Q"}, {"callbacks": [recorder]})
    (run,) = read_runs(tmp_path)
    assert run.is_ours and run.status == "ended" and [one.step for one in run.steps] == out["steps"]
    assert [one.call["reply"] for one in run.steps] == [ASK, SAY]


def test_nodes_that_hand_on_what_a_run_gave_back_write_nothing(tmp_path):
    class State(RouterOutput):
        seen: int

    inner = router()

    def asks(state):
        out = inner.invoke({"question": "Q"})
        return {"answer": out["answer"], "stop_reason": out["stop_reason"], "steps": out["steps"]}

    def hands_on(state):
        return {"steps": list(state["steps"]), "seen": 1}

    def tells(state):
        return {"answer": "A", "stop_reason": "answered"}

    graph = StateGraph(State).add_sequence([asks, hands_on, tells]).add_edge(START, "asks").compile()
    with Recorder(tmp_path) as recorder:
        graph.invoke({"seen": 0}, {"callbacks": [recorder]})
    (run,) = read_runs(tmp_path)
    assert recorder.lost == 0 and run.status == "ended" and run.answer == "Q [facts:a]"
    assert [line["kind"] for line in lines_of(tmp_path)].count("decided") == 2


def test_a_search_node_alone_leaves_no_stumps_of_runs(tmp_path):
    graph = StateGraph(MessagesState).add_node("search", make_kb_node(Facts())).add_edge(START, "search").compile()
    with Recorder(tmp_path) as recorder:
        graph.invoke({"messages": [("user", "What?")]}, {"callbacks": [recorder]})
    assert recorder.lost == 0 and not list(tmp_path.rglob("*.jsonl"))


def test_calls_in_a_graph_whose_state_has_a_turn_of_its_own_are_kept(tmp_path):
    class Game(TypedDict):
        turn: str
        said: str

    model = fake("e4")
    graph = StateGraph(Game).add_node("move", lambda state: {"said": model.invoke(state["turn"]).text})
    with Recorder(tmp_path) as recorder:
        graph.add_edge(START, "move").compile().invoke({"turn": "white"}, {"callbacks": [recorder]})
    (run,) = read_runs(tmp_path)
    assert not run.is_ours and [call["reply"] for call in run.calls] == ["e4"]


def test_models_that_tools_and_retrievers_ask_belong_to_the_run_around_them(tmp_path):
    model = fake("wider", "again")

    class Widens(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return [Document(model.invoke(query, {"callbacks": run_manager.get_child()}).text)]

    @tool
    def look(query: str) -> str:
        """Look it up."""
        return Widens().invoke(query)[0].page_content

    class Base(Facts):
        async def asearch(self, query, k):
            await Widens().ainvoke(query)
            look.invoke(query)
            return await super().asearch(query, k)

    graph = create_router([Base(), Facts("other")], policy=Scripted(both_then_answer))
    with Recorder(tmp_path) as recorder:
        graph.invoke({"question": "Q"}, {"callbacks": [recorder]})
    (run,) = read_runs(tmp_path)
    assert run.is_ours and [call["reply"] for call in run.calls] == ["wider", "again"]
    assert not recorder._chains and not recorder._calls


def test_a_call_that_was_cancelled_is_logged_and_forgotten(tmp_path):
    class Slow(BaseChatModel):
        @property
        def _llm_type(self):
            return "slow"

        def _generate(self, *_, **__):
            raise NotImplementedError

        async def _agenerate(self, *_, **__):
            await asyncio.sleep(30)

    async def ask(state):
        return {"messages": [await Slow().ainvoke("hello")]}

    graph = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").compile()

    async def given_up(recorder):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await graph.ainvoke({"messages": [("user", "Q")]}, {"callbacks": [recorder]})

    with Recorder(tmp_path) as recorder:
        asyncio.run(given_up(recorder))
    (run,) = read_runs(tmp_path)
    assert run.status == "failed" and len(run.calls) == 1 and run.calls[0]["error"]
    assert not recorder._chains and not recorder._calls


def test_a_foreign_graph_that_waits_for_a_person_has_not_ended(tmp_path):
    model = fake("a", "b")

    def ask(state):
        reply = model.invoke("hello")
        interrupt("go on?")
        return {"messages": [reply]}

    graph = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").compile(InMemorySaver())
    with Recorder(tmp_path) as recorder:
        config = {"configurable": {"thread_id": "t"}, "callbacks": [recorder]}
        graph.invoke({"messages": [("user", "Q")]}, config)
        assert [run.status for run in read_runs(tmp_path)] == ["open"]
        graph.invoke(Command(resume=True), config)
    assert sorted(run.status for run in read_runs(tmp_path)) == ["ended", "open"]


@pytest.mark.parametrize("late", ["mine", "other"])
def test_the_logged_call_is_the_policys_and_not_the_shadows(tmp_path, late):
    class Late(GenericFakeChatModel):
        async def _agenerate(self, *args, **options):
            await asyncio.sleep(0.05)
            return self._generate(*args)

    def policy(name):
        kind = Late if name == late else GenericFakeChatModel
        return ChatPolicy.of(kind(messages=iter([AIMessage(ASK), AIMessage(SAY)])), price="free", name=name)

    graph = create_router([Facts()], policy=policy("mine"), policies=[policy("other")])
    with Recorder(tmp_path) as recorder:
        graph.invoke({"question": "Q"}, {"callbacks": [recorder]}, context={"shadow": "other"})
    (run,) = read_runs(tmp_path)
    assert [one.call["model"] for one in run.steps] == ["mine", "mine"]
    assert [call["model"] for call in run.calls] == ["other", "other"]


def test_secrets_of_the_caller_and_in_errors_are_not_written(tmp_path):
    class Refused(GenericFakeChatModel):
        def _generate(self, *_, **__):
            raise ValueError("Incorrect API key: sk-abcdefghijklmnopqrstuvwx")

    config = {"metadata": {"api_key": "hidden-word", "nested": {"password": "hidden-word"}, "question_id": "q"}}
    with Recorder(tmp_path) as recorder, pytest.raises(ValueError):
        config |= {"configurable": {"openai_api_key": "hidden-word"}, "callbacks": [recorder]}
        Refused(messages=iter([])).invoke("hello", config)
    text = "".join(path.read_text() for path in tmp_path.rglob("*.jsonl"))
    assert "Incorrect" in text and "hidden-word" not in text and "sk-abc" not in text


def test_a_prompt_of_streamed_messages_has_the_roles_of_whole_ones(tmp_path):
    with Recorder(tmp_path) as recorder:
        fake("a").invoke([HumanMessageChunk("Q"), AIMessageChunk("A")], {"callbacks": [recorder]})
    (run,) = read_runs(tmp_path)
    assert [one["role"] for one in run.calls[0]["prompt"]] == ["human", "ai"] and run.question == "Q"


@pytest.mark.parametrize("protocol", ["tags", "brief", "router_r1", "r1_router", "tool_calls"])
@pytest.mark.parametrize("context", [{"max_steps": 2}, {"exclude": ["kb:other"]}, {"tokens": 3_000}, {"tokens": 900}])
def test_the_view_of_a_logged_step_is_what_the_policy_was_asked(tmp_path, protocol, context):
    asks = [f'<think>Hm.</think>\n<route to="kb:facts">q{n}</route>' for n in range(3)]
    graph = create_router([Facts(), Facts("other")], policy=chat(*asks, *[SAY] * 5), protocol=protocol)
    with Recorder(tmp_path) as recorder:
        graph.invoke({"question": 'What is <b> & "c"?'}, {"callbacks": [recorder]}, context=context)
    (run,) = read_runs(tmp_path)
    for record in run.steps:
        messages = protocol_named(protocol).messages(view_at(run, record.number))
        assert [message_of(one) for one in messages] == record.call["prompt"]


def test_the_view_of_a_policy_that_failed_says_that_it_could_choose(tmp_path):
    class Fails(Scripted):
        async def act(self, view, protocol, means):
            raise RouterError("No idea.")

    with Recorder(tmp_path) as recorder:
        graph = create_router([Facts()], policy=Fails(both_then_answer))
        graph.invoke({"question": "Q"}, {"callbacks": [recorder]})
    (run,) = read_runs(tmp_path)
    assert run.steps[0].step["decision"]["forced"] == "policy_failed" and view_at(run, 1).must_answer is None


def test_a_router_that_is_another_routers_knowledge_base_hides_nothing(tmp_path):
    inner = router()

    class Base(Facts):
        async def asearch(self, query, k):
            await inner.ainvoke({"question": f"inner {query}"})
            return await super().asearch(query, k)

    graph = create_router([Base(), Facts("other")], policy=Scripted(both_then_answer))
    with Recorder(tmp_path) as recorder:
        graph.invoke({"question": "outer"}, {"callbacks": [recorder]})
    runs = list(read_runs(tmp_path))
    assert sorted(run.question for run in runs) == ["inner a", "outer"]
    assert all(run.status == "ended" and all(one.is_whole for one in run.steps) for run in runs)


def test_a_run_that_is_given_up_between_two_nodes_has_failed(tmp_path):
    with Recorder(tmp_path) as recorder:
        for _ in router().stream({"question": "Q"}, {"callbacks": [recorder]}, stream_mode="updates"):
            break
    (run,) = read_runs(tmp_path)
    assert run.status == "failed" and "GeneratorExit" in run.error
    assert not recorder._chains


def test_events_that_nobody_hears_to_their_end_leave_nothing_behind(tmp_path):
    async def hears_one(recorder):
        async for _ in router().astream_events({"question": "Q"}, {"callbacks": [recorder]}, version="v2"):
            break
        await asyncio.sleep(0.2)

    with Recorder(tmp_path) as recorder:
        asyncio.run(hears_one(recorder))
    assert not recorder._chains and not recorder._calls


def test_a_process_that_is_killed_loses_no_line_that_it_wrote(tmp_path):
    program = f"""
import os, signal
from router_graph import create_router
from router_graph.actions import Answer, RouteToKB
from router_graph.trajectories.recorder import Recorder
from support.routing import Script, Shelf

class Kills(Shelf):
    async def asearch(self, query, k, *, within=None):
        os.kill(os.getpid(), signal.SIGKILL)

graph = create_router([Shelf("one"), Kills("two")], policy=Script(RouteToKB("one", "q"), RouteToKB("two", "q")))
graph.invoke({{"question": "Q"}}, {{"callbacks": [Recorder({str(tmp_path)!r})]}})
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == -9
    (run,) = read_runs(tmp_path)
    assert run.status == "open" and [one.is_whole for one in run.steps] == [True, False]
