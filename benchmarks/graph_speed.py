"""What the routing graph costs: above bare LangGraph, and when it is imported. `graph_load.py` asks much at once.

    python benchmarks/graph_speed.py

Ratios, each pair measured in one run, block by block in turn, so that a slow moment of the machine hits both. Bare
LangGraph is a graph of the same shape (the same nodes, channels, conditional edge and `Send`s) whose functions do
nothing but return what ours returned in a run that was recorded, and whose reducers are the plainest that there are.
Nothing in it waits, so that its CPU time is what it costs, whatever else the machine does; the wall clock stands
beside. In an async graph LangGraph calls a plain function of a conditional edge in a thread. Ours does without, so the
bare graph is measured in both ways.
"""

from __future__ import annotations

import asyncio
import gc
import operator
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AnyMessage
from langchain_core.runnables import Runnable
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Overwrite, Send
from pool_speed import SEED, interval, verdict

from router_graph import Answer, Choice, ChoicePolicy, RouteToKB, View, create_router

QUESTION = "Which river flows through the capital of the country that won the cup in 1998?"
PASSAGE = "The Seine rises at Source-Seine and flows through Paris into the English Channel at Le Havre. " * 4
STEPS = 5
"""Replies of the policy that ask, before the one that answers."""
ROUTES = 2
"""Side by side in each."""
HITS = 5
RUNS, BLOCKS, WARM_UP = 10, 40, 3


class Passages:
    """A knowledge base that answers at once."""

    description = "Passages about rivers, capitals and cups."

    def __init__(self, name: str) -> None:
        self.name = name

    async def asearch(self, query: str, k: int) -> list[dict[str, Any]]:
        return [
            {"doc_id": f"{query[-3:]}-{n}", "title": "Seine", "text": PASSAGE, "score": 1 / (n + 1), "metadata": {}}
            for n in range(HITS)
        ]


class Script(ChoicePolicy):
    """Asks every knowledge base, in each step something else, and answers."""

    name = "script"

    def choose(self, view: View) -> Choice:
        done = len(view.steps)
        if view.must_answer or done == STEPS:
            return Choice("It is there.", (Answer("The Seine."),))
        return Choice(
            f"Part {done} is missing.",
            tuple(RouteToKB(f"kb{n}", f"{QUESTION} Part {done:03d}") for n in range(ROUTES)),
        )


class Bare(TypedDict, total=False):
    """The channels of our state."""

    messages: Annotated[list[AnyMessage], add_messages]
    question: str
    images: list[str]
    pin: str
    answer: str
    citations: list[Any]
    stop_reason: Any
    ledger: Annotated[dict[str, Any], operator.or_]
    steps: Annotated[list[Any], operator.add]
    turn: str
    asked: Any
    menu: list[Any]
    settings: dict[str, Any]
    met: Annotated[list[str], operator.add]


class Edge(Runnable[Any, Any]):
    """A function for a conditional edge that LangGraph does not send to a thread where the graph is async."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.name, self._function = "edge", function

    def invoke(self, input: Any, config: Any = None, **_: Any) -> Any:
        return self._function(input)

    async def ainvoke(self, input: Any, config: Any = None, **_: Any) -> Any:
        return self._function(input)


async def recorded(router: Any) -> tuple[dict[str, list[Any]], list[list[Send]]]:
    """What the nodes of the router returned in a run, by node, and what each step sent."""
    updates: dict[str, list[Any]] = {}
    sends: dict[int, list[Send]] = {}
    async for mode, part in router.astream({"question": QUESTION}, stream_mode=["updates", "debug"]):
        if mode == "updates":
            for node, update in part.items():
                updates.setdefault(node, []).append(dict(update))
        elif part["type"] == "task" and part["payload"]["name"].startswith("route"):
            task = part["payload"]
            sends.setdefault(part["step"], []).append(Send(task["name"], task["input"]))
    return updates, list(sends.values())


async def bare(router: Any, *, as_async: bool, tuned: bool) -> Any:
    """A graph of the router's shape that hands over what the router's nodes once returned."""
    updates, sends = await recorded(router)
    assert (len(updates["think"]), len(sends)) == (STEPS + 1, STEPS)
    found = {}
    for update in updates["route_to_kb"]:
        (step,) = update["steps"]
        (position,) = step["observations"]
        found[step["number"], int(position)] = update

    def step_of(state: Any) -> int:
        return len(state["steps"]) // (1 + ROUTES)

    cores: dict[str, Callable[[Any], Any]] = {
        "begin": lambda state: {**updates["begin"][0], "steps": Overwrite([]), "ledger": Overwrite({})},
        "think": lambda state: updates["think"][step_of(state)],
        "route_to_kb": lambda task: found[task["number"], task["position"]],
        "route_to_llm": lambda task: {},
        "finish": lambda state: updates["finish"][0],
    }

    def after(state: Any) -> Any:
        return sends[step_of(state)] if step_of(state) < STEPS else "finish"

    def as_coroutine(core: Callable[[Any], Any]) -> Any:
        async def node(state: Any) -> Any:
            return core(state)

        return node

    graph: Any = StateGraph(Bare)
    for name, core in cores.items():
        graph.add_node(name, as_coroutine(core) if as_async else core)
    graph.add_edge(START, "begin")
    graph.add_edge("begin", "think")
    edge = Edge(after) if tuned else after
    graph.add_conditional_edges("think", edge, ["think", "route_to_kb", "route_to_llm", "finish"])
    graph.add_edge("route_to_kb", "think")
    graph.add_edge("route_to_llm", "think")
    graph.add_edge("finish", END)
    return graph.compile()


Times = dict[str, dict[str, list[float]]]
"""By graph and by clock ("CPU", "wall"): milliseconds a run, the mean of each block of runs."""


async def in_blocks(graphs: Mapping[str, Any], *, as_async: bool) -> Times:
    """The graphs take turns, block by block."""
    times: Times = {name: {"CPU": [], "wall": []} for name in graphs}
    for block in range(-WARM_UP, BLOCKS):
        for name, graph in graphs.items():
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            if as_async:
                for _ in range(RUNS):
                    await graph.ainvoke({"question": QUESTION})
            else:
                await asyncio.to_thread(_repeatedly, graph.invoke)
            if block >= 0:
                times[name]["CPU"].append(1e3 * (time.process_time() - cpu) / RUNS)
                times[name]["wall"].append(1e3 * (time.perf_counter() - wall) / RUNS)
    return times


def _repeatedly(invoke: Callable[[Any], Any]) -> None:
    for _ in range(RUNS):
        invoke({"question": QUESTION})


async def above_bare_langgraph() -> None:
    router = create_router([Passages(f"kb{n}") for n in range(ROUTES)], policy=Script())
    print(f"  {STEPS} steps with {ROUTES} routes each, and the answer: {2 * STEPS + 3} supersteps; no checkpointer")
    for as_async in (True, False):
        graphs = {
            "ours": router,
            "bare": await bare(router, as_async=as_async, tuned=False),
            "tuned": await bare(router, as_async=as_async, tuned=True),
        }
        for graph in graphs.values():
            call = (
                graph.ainvoke({"question": QUESTION})
                if as_async
                else asyncio.to_thread(graph.invoke, {"question": QUESTION})
            )
            assert (await call)["answer"] == "The Seine."
        times = await in_blocks(graphs, as_async=as_async)
        print(f"  {'async' if as_async else 'sync'}, n = {BLOCKS} blocks of {RUNS} runs")
        for clock in ("CPU", "wall"):
            told = ", ".join(f"{name} {statistics.median(each[clock]):.2f}" for name, each in times.items())
            print(f"    {clock}: ms a run: {told}")
            print(f"      over bare LangGraph: {compared(times, 'bare', clock)}")
            if as_async:
                print(f"      over the same without a thread for its edge: {compared(times, 'tuned', clock)}")


def compared(times: Times, other: str, clock: str) -> str:
    """The ratio, and the milliseconds a step, each with its interval."""
    ours, theirs = times["ours"][clock], times[other][clock]

    def ratio(rows: Sequence[int]) -> float:
        return _median(ours, rows) / _median(theirs, rows)

    def extra(rows: Sequence[int]) -> float:
        return (_median(ours, rows) - _median(theirs, rows)) / (STEPS + 1)

    rows = range(BLOCKS)
    (low, high), (least, most) = interval(ratio, BLOCKS), interval(extra, BLOCKS)
    return (
        f"{ratio(rows):.2f} [{low:.2f}, {high:.2f}] of 1.5: {verdict(held=high <= 1.5)}; "
        f"{extra(rows):.2f} ms a step [{least:.2f}, {most:.2f}] of 2: {verdict(held=most <= 2)}"
    )


def _median(times: Sequence[float], rows: Sequence[int]) -> float:
    return statistics.median(times[row] for row in rows)


def importing() -> None:
    heavy = ("torch", "litellm", "chromadb", "transformers", "openai", "langchain", "kb_tools")
    for line in ("import router_graph", "from router_graph import create_router", "import router_graph.tool"):
        code = (
            f"import sys, time; wall, cpu = time.perf_counter(), time.process_time(); {line}; "
            f"print(time.perf_counter() - wall, time.process_time() - cpu, *[m for m in {heavy!r} if m in sys.modules])"
        )
        runs = [
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
            for _ in range(7)
        ]
        walls, cpus = (sorted(float(run[n]) for run in runs) for n in (0, 1))
        loaded = runs[0][2:]
        print(
            f"  {line}: {walls[3]:.2f} s [{walls[0]:.2f}, {walls[-1]:.2f}], {cpus[3]:.2f} s of CPU, "
            f"n = 7 fresh processes; loads {', '.join(loaded) or 'none'} of {', '.join(heavy)}; "
            f"of 1 s: {verdict(held=walls[3] <= 1 and not loaded)}"
        )


def main() -> None:
    versions = ", ".join(f"{one} {version(one)}" for one in ("polyroute", "langgraph", "langchain-core", "litellm"))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores; {versions}; seed {SEED}")
    print("Importing")
    importing()
    print("The graph, and bare LangGraph of the same shape")
    asyncio.run(above_bare_langgraph())


if __name__ == "__main__":
    sys.exit(main())
