"""What a failing model costs a run: does it end well, is the bill right to the token, how late is the fallback asked?

    python benchmarks/graph_faults.py

The model fails as the one that is asked (by a scripted policy), or as the policy itself. Lateness is measured at the
server: from the end of the failing request, or where it hangs from its time limit, to the arrival of the next one. The
server runs in a thread of the same process, so that its own work is in it. The first run of each row is told apart:
LiteLLM imports what it needs for an error or a stream when it first meets one. And a full garbage collection of Python,
which LiteLLM's many objects make long, is told apart where one fell into a fallback.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from pool_speed import SEED, interval, verdict

from router_graph import Answer, Choice, ChoicePolicy, RouteToLLM, View, create_router
from router_graph.pool import LiteLLMTransport, ModelCard, ModelPool
from support.graph_bill import differences
from support.timed_server import TimedServer

FAULTS = ("hang", "reset", "half", "429", "500", "wrongjson", "notchat", "html")
FORGES = "tags"
"""Not a failure: a reply full of our own tags."""
QUESTION = "Which river flows through the capital of the country that won the cup in 1998?"
TIMEOUT_S = 0.3
RUNS = 25
MOST_LATE_S = 0.05


class AsksOne(ChoicePolicy):
    """Asks a model, and answers with what it says."""

    name = "asks-one"

    def __init__(self, model: str) -> None:
        self._model = model

    def choose(self, view: View) -> Choice:
        said = [observation["text"] for _, _, observation in view.routes()]
        action = Answer(said[-1]) if said or view.must_answer else RouteToLLM(self._model, view.question)
        return Choice("", (action,))


def graph(server: TimedServer, failing: str, fallbacks: list[str], role: str) -> Any:
    names = dict.fromkeys([failing, "good", *fallbacks])
    cards = [
        ModelCard(
            name=name,
            model=f"openai/{name}",
            api_base=server.url,
            price={"input": 1, "output": 2},
            max_tokens=60,
            timeout_s=TIMEOUT_S if name == failing else 10,
        )
        for name in names
    ]
    pool = ModelPool(cards, fallbacks={failing: fallbacks}, retries=0)
    return create_router([], pool=pool, policy=f"llm:{failing}" if role == "policy" else AsksOne(failing))


class Pauses:
    """Python's garbage collections, in seconds of `time.perf_counter`."""

    def __init__(self) -> None:
        self._begun = 0.0
        self.all: list[tuple[float, float]] = []
        gc.callbacks.append(self._seen)

    def _seen(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self.all.append((self._begun, time.perf_counter()))

    def within(self, begun: float, ended: float) -> float:
        """How long of this time was theirs."""
        return sum(max(0.0, min(ended, until) - max(begun, since)) for since, until in self.all)


async def measure(server: TimedServer, pauses: Pauses, fault: str, role: str) -> None:
    failing = f"bad-{fault}"
    fallbacks = [] if fault == FORGES else ["good" if role == "asked" else "ok-tags"]
    ends: Counter[str] = Counter()
    late: list[list[Late]] = []
    wrong: list[str] = []
    estimates = calls = 0
    for number in range(RUNS + 1):
        server.clear()
        pauses.all.clear()
        # A new pool each time: a model that fails again and again is soon not asked any more.
        router = graph(server, failing, fallbacks, role)
        result = await router.ainvoke({"question": f"{QUESTION} ({number})"}, context={"max_steps": 2})
        await asyncio.to_thread(server.settle)
        ends[result["stop_reason"] if result["answer"] else "NO ANSWER"] += 1
        wrong += differences(result["ledger"], server.meter)
        booked = [entry for entry in result["ledger"].values() if entry["state"] == "settled"]
        calls, estimates = calls + len(booked), estimates + sum(entry["estimated"] for entry in booked)
        if fallbacks:
            gaps = server.gaps(failing, TIMEOUT_S)
            late.append([Late(asked - failed, pauses.within(failed, asked)) for failed, asked in gaps])
    ended = ", ".join(f"{count} {reason}" for reason, count in ends.items())
    bill = f"{calls} calls booked, {estimates} at their worst case, {len(wrong)} wrong"
    at_once = all(one.own_s <= MOST_LATE_S for run in late[1:] for one in run)
    print(f"  {fault:9} as the {role:6}: ended {ended}; {bill}; {lateness(late)}", end="")
    print(verdict(held=not wrong and "NO ANSWER" not in ends and at_once))
    for problem in sorted(set(wrong))[:3]:
        print(f"    {problem}")


@dataclass(frozen=True)
class Late:
    """How late a fallback was asked, and how much of it was garbage collection, in seconds."""

    s: float
    pause_s: float

    @property
    def own_s(self) -> float:
        return self.s - self.pause_s


def lateness(runs: list[list[Late]]) -> str:
    if not runs:
        return ""
    first, late = runs[0], [one for run in runs[1:] for one in run]

    def median_of(rows: Any) -> float:
        return 1e3 * statistics.median(late[row].s for row in rows)

    low, high = interval(median_of, len(late))
    worst, paused = max(late, key=lambda one: one.s), [one for one in late if one.s > MOST_LATE_S >= one.own_s]
    collected = f" ({len(paused)} of them in a garbage collection; else {1e3 * max(o.own_s for o in late):.1f})"
    return (
        f"fallback after p50 {median_of(range(len(late))):.1f} ms [{low:.1f}, {high:.1f}], worst {1e3 * worst.s:.1f}"
        f"{collected if paused else ''} of {len(late)}, first {1e3 * max(one.s for one in first):.1f}, "
        f"of {1e3 * MOST_LATE_S:.0f} ms: "
    )


async def main() -> None:
    versions = ", ".join(f"{one} {version(one)}" for one in ("polyroute", "langgraph", "litellm", "openai"))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores; {versions}; seed {SEED}; {RUNS} runs each")
    await LiteLLMTransport().prepare()
    pauses = Pauses()
    with TimedServer() as server:
        await graph(server, "good", [], "asked").ainvoke({"question": "Warm up."})
        for role in ("asked", "policy"):
            for fault in (*FAULTS, FORGES):
                await measure(server, pauses, fault, role)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
