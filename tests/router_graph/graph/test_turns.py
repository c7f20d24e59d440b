"""Threads: several turns, people who are asked, crashes, checkpointers, subgraphs. Nothing stale, nothing twice."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from router_graph import (
    Answer,
    Knowledge,
    RouterContext,
    RouterError,
    RouterState,
    RouteToKB,
    RouteToLLM,
    build_router_graph,
    create_router,
)
from router_graph.errors import AuthenticationError
from router_graph.pool import ModelCard, ModelPool
from support.chat_models import Plain
from support.routing import Script, Shelf, statuses

THREAD = {"configurable": {"thread_id": "t"}}


def echo(view):
    return Answer(f"{view.question} after {[text for role, text in view.earlier if role == 'human']}")


def test_nothing_of_the_last_turn_is_left_in_the_next():
    graph = create_router([Shelf("docs")], policy=Script(RouteToKB("docs", "x"), echo), checkpointer=InMemorySaver())
    one = graph.invoke({"question": "First?"}, THREAD)
    two = graph.invoke({"messages": [HumanMessage("Second?")]}, THREAD)
    three = graph.invoke({"question": "Third?"}, THREAD)
    for turn in (one, two, three):
        assert len(turn["steps"]) == 2 and len(turn["ledger"]) == 1
    assert two["answer"] == "Second? after ['First?']"
    assert three["answer"] == "Third? after ['First?', 'Second?']"
    assert [message.text for message in three["messages"]][-2:] == ["Third?", three["answer"]]
    assert len({turn["steps"][0]["id"] for turn in (one, two, three)}) == 3


def test_a_thread_stays_pinned_until_the_pin_is_changed_and_one_turn_can_be_routed_elsewhere():
    def ask(view):
        return [RouteToKB(name, "x") for name in view.names("kb")]

    graph = create_router([Shelf("a"), Shelf("b")], policy=Script(ask, echo), checkpointer=InMemorySaver())

    def asked(given, **context):
        result = graph.invoke({"question": "?!", **given}, THREAD, context=RouterContext(**context))
        return [one["kb"] for one in result["steps"][0]["actions"]]

    assert asked({"pin": "kb:a"}) == ["a"]
    assert asked({}) == ["a"]
    assert asked({}, route="kb:b") == ["b"]
    assert asked({}) == ["a"]
    assert asked({"pin": ""}) == ["a", "b"]
    with pytest.raises(RouterError, match=r"pin names 'kb:c'"):
        asked({"pin": "kb:c"})


DEAR = {"cost_usd": 0.01}


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_person_is_asked_before_dear_calls_and_each_can_be_approved_or_declined(is_async):
    shelves = [Shelf("a"), Shelf("b"), Shelf("cheap")]
    bases = [Knowledge("a", "A.", shelves[0], **DEAR), Knowledge("b", "B.", shelves[1], **DEAR), shelves[2]]
    script = Script([RouteToKB(name, "x") for name in ("a", "b", "cheap")], echo)
    graph = create_router(bases, policy=script, checkpointer=InMemorySaver())

    async def call(given, **options):
        return await graph.ainvoke(given, THREAD, **options) if is_async else graph.invoke(given, THREAD, **options)

    asked = await call({"question": "?!"}, context=RouterContext(ask_above_usd=0.005))
    wanted = {one.value["target"]: one for one in asked["__interrupt__"]}
    assert set(wanted) == {"kb:a", "kb:b"}
    assert wanted["kb:a"].value["usd_at_most"] == 0.01
    result = await call(Command(resume={wanted["kb:a"].id: True, wanted["kb:b"].id: "Not this one."}))
    assert statuses(result)[0] == ["ok", "declined", "ok"]
    assert "Not this one." in result["steps"][0]["observations"]["1"]["text"]
    assert [len(shelf.asked) for shelf in shelves] == [1, 0, 1]
    assert sum(entry["spent"]["picousd"] for entry in result["ledger"].values()) == 10**10


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (True, "ok"),
        ("Yes", "ok"),
        ({"approve": True}, "ok"),
        ({"approved": True}, "ok"),
        (False, "declined"),
        ("no", "declined"),
        ({"approve": False, "reason": "Too dear."}, "declined"),
        ({"approve": "perhaps"}, "declined"),
        (1, "declined"),
    ],
)
def test_a_call_is_made_only_where_a_person_plainly_agrees(said, status):
    base = Knowledge("a", "A.", Shelf("a"), **DEAR)
    graph = create_router([base], policy=Script(RouteToKB("a", "x"), echo), checkpointer=InMemorySaver())
    graph.invoke({"question": "?!"}, THREAD, context=RouterContext(ask_above_usd=0.001))
    assert statuses(graph.invoke(Command(resume=said), THREAD))[0] == [status]


def test_a_person_cannot_be_asked_without_a_checkpointer():
    graph = create_router([Shelf("docs")], policy=Script(echo))
    for config in ({}, THREAD):
        with pytest.raises(RouterError, match="needs a checkpointer"):
            graph.invoke({"question": "?!"}, config, context=RouterContext(ask_above_usd=0))


def test_waiting_for_a_person_is_not_the_turns_time():
    base = Knowledge("a", "A.", Shelf("a"), **DEAR)
    graph = create_router([base], policy=Script(RouteToKB("a", "x"), echo), checkpointer=InMemorySaver())
    asked = graph.invoke({"question": "?!"}, THREAD, context=RouterContext(ask_above_usd=0.001, seconds=0.5))
    asyncio.run(asyncio.sleep(0.7))
    result = graph.invoke(Command(resume={asked["__interrupt__"][0].id: "yes"}), THREAD)
    assert result["stop_reason"] == "answered"


CRASHING = """
import os, sys
from langgraph.checkpoint.sqlite import SqliteSaver
from router_graph import Answer, Knowledge, RouterContext, RouteToKB, create_router
from support.routing import Script, Shelf

def last(view):
    if sys.argv[2] == "crash":
        os._exit(9)
    return RouteToKB("docs", "y")

with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
    shelf = Shelf("docs")
    script = Script(RouteToKB("docs", "x"), last, Answer("never"))
    graph = create_router([Knowledge("docs", "D.", shelf, cost_usd=0.01)], policy=script, checkpointer=saver)
    config = {"configurable": {"thread_id": "t"}}
    given = {"question": "?!"} if sys.argv[2] == "crash" else None
    result = graph.invoke(given, config, context=RouterContext(usd=0.025), durability="sync")
    print(result["answer"], result["stop_reason"], len(shelf.asked), len(result["ledger"]))
"""


def test_a_killed_process_goes_on_in_another_and_asks_nothing_twice(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(CRASHING))

    def process(how):
        command = [sys.executable, str(script), str(tmp_path / "state.sqlite"), how]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": "tests"})

    assert process("crash").returncode == 9
    resumed = process("resume")
    # One search is made here, and the one of the process that died is on the bill: too little is left for a third.
    assert resumed.stdout.split("\n")[0] == "What there is. usd 1 2", resumed.stderr


async def test_sync_and_async_sqlite_checkpointers_hold_the_state(tmp_path):
    graph = build_router_graph([Shelf("docs")], policy=Script(RouteToKB("docs", "x"), echo))
    with SqliteSaver.from_conn_string(str(tmp_path / "a")) as saver:
        compiled = graph.compile(checkpointer=saver)
        compiled.invoke({"question": "One?"}, THREAD)
        assert compiled.invoke({"question": "Two?"}, THREAD)["answer"] == "Two? after ['One?']"
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "b")) as saver:
        compiled = graph.compile(checkpointer=saver)
        await compiled.ainvoke({"question": "One?"}, THREAD)
        assert (await compiled.ainvoke({"question": "Two?"}, THREAD))["answer"] == "Two? after ['One?']"


def test_a_new_question_leaves_an_interrupted_turn_behind():
    base = Knowledge("a", "A.", Shelf("a"), **DEAR)
    graph = create_router([base], policy=Script(RouteToKB("a", "x"), echo), checkpointer=InMemorySaver())
    graph.invoke({"question": "Old?"}, THREAD, context=RouterContext(ask_above_usd=0))
    result = graph.invoke({"question": "New?"}, THREAD)
    assert result["answer"] == "New? after ['Old?']"
    assert len(result["steps"]) == 2


def test_a_fork_of_a_checkpoint_goes_on_under_the_same_budget():
    base = Knowledge("docs", "D.", Shelf("docs"), cost_usd=0.01)
    script = Script(lambda view: RouteToKB("docs", f"try {len(view.steps)}"))
    graph = create_router([base], policy=script, checkpointer=InMemorySaver())
    context = RouterContext(usd=0.035, max_steps=50)
    first = graph.invoke({"question": "?!"}, THREAD, context=context)
    assert first["stop_reason"] == "usd" and len(first["ledger"]) == 3
    early = next(s for s in graph.get_state_history(THREAD) if s.next == ("think",) and len(s.values["ledger"]) == 1)
    forked = graph.invoke(None, early.config, context=context)
    assert forked["stop_reason"] == "usd"
    assert len(forked["ledger"]) == 3


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_graph_is_a_node_of_another_whose_state_gets_answer_ledger_and_steps(is_async):
    router = create_router([Shelf("docs")], policy=Script(RouteToKB("docs", "x"), echo))
    app = StateGraph(RouterState)
    app.add_node("router", router)
    app.add_node("after", lambda state: {"answer": state["answer"].upper()})
    app.add_edge(START, "router")
    app.add_edge("router", "after")
    app.add_edge("after", END)
    compiled = app.compile()
    given = {"messages": [HumanMessage("Sub?")]}
    result = await compiled.ainvoke(given) if is_async else compiled.invoke(given)
    assert result["answer"] == "SUB? AFTER []"
    assert len(result["steps"]) == 2 and len(result["ledger"]) == 1
    events = [part["type"] for _, part in compiled.stream(given, stream_mode="custom", subgraphs=True)]
    assert events == ["turn", "step", "decision", "observation", "step", "decision", "answer"]


def test_a_hundred_threads_leave_no_account_open():
    graph = create_router([Shelf("docs")], policy=Script(RouteToKB("docs", "x"), echo), checkpointer=InMemorySaver())
    for n in range(100):
        graph.invoke({"question": "?!"}, {"configurable": {"thread_id": str(n)}})
    from router_graph.explain import resources_of

    assert not resources_of(graph).accounts._live and not resources_of(graph).accounts._kept


@pytest.mark.parametrize("wrong", [{"question": "Old?", "images": ["no picture"]}, {"question": "Old?" * 100_000}])
def test_what_could_not_be_asked_is_not_asked_in_place_of_the_next_question(wrong):
    graph = create_router([Shelf("docs")], policy=Script(echo), checkpointer=InMemorySaver())
    for given in ({"messages": [HumanMessage("New?")]}, {"question": "New?"}):
        with pytest.raises(RouterError):
            graph.invoke(wrong, THREAD)
        assert graph.invoke(given, THREAD)["answer"].startswith("New? after")


def test_a_person_is_asked_where_a_fallback_would_be_the_dear_one():
    cards = [
        ModelCard(name="cheap", price={"input": 0.001, "output": 0.001}, transport="cheap"),
        ModelCard(name="dear", price={"input": 1000, "output": 1000}, transport="dear"),
    ]
    transports = {"cheap": Plain(error=AuthenticationError("no")), "dear": Plain()}
    pool = ModelPool(cards, transports=transports, fallbacks={"cheap": ["dear"]})
    script = Script(RouteToLLM("cheap", "x"), echo)
    graph = create_router(pool=pool, policy=script, checkpointer=InMemorySaver())
    asked = graph.invoke({"question": "?!"}, THREAD, context=RouterContext(ask_above_usd=0.01))
    assert asked["__interrupt__"][0].value["usd_at_most"] > 0.01
    assert statuses(graph.invoke(Command(resume=False), THREAD)) == [["declined"], []]
