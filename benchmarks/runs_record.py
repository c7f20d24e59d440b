"""What recording costs: CPU for each step, and the share of a run whose policy takes 50 ms a step.

    python benchmarks/runs_record.py

The graph, its scripted policy and its knowledge bases are those of `graph_speed.py`: five steps of two routes each, and
an answer. The same runs are made with a recorder and without, block by block in turn, so that a slow moment of the
machine hits both; CPU time is what recording costs, whatever else the machine does. The second part lets the policy
wait 50 ms a step, and compares the wall clock.
"""

from __future__ import annotations

import asyncio
import gc
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from typing import Any

from graph_speed import QUESTION, ROUTES, STEPS, Passages, Script
from pool_speed import interval, verdict

from router_graph import View, create_router
from router_graph.policies.policy import Act, Means
from router_graph.protocols.protocol import Protocol
from router_graph.trajectories.recorder import Recorder

BLOCKS, RUNS = 30, 10
WAIT_S = 0.05


class Waiting(Script):
    """The script, 50 ms a step."""

    name = "waiting"
    decides_alone = False

    async def act(self, view: View, protocol: Protocol, means: Means) -> Act:
        await asyncio.sleep(WAIT_S)
        return await super().act(view, protocol, means)


async def block(graph: Any, config: dict[str, Any], runs: int) -> tuple[float, float]:
    """CPU and wall seconds of so many runs, one after another."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(runs):
        await graph.ainvoke({"question": QUESTION}, config)
    return time.process_time() - cpu, time.perf_counter() - wall


async def measured(policy: Script, recorder: Recorder, runs: int, blocks: int) -> list[tuple[float, float, float]]:
    """(CPU seconds a run that recording adds, wall seconds a run with it, and without) of each block."""
    graph = create_router([Passages(f"kb{n}") for n in range(ROUTES)], policy=policy)
    found = []
    for turn in range(blocks + 1):
        times = {}
        for on in (True, False) if turn % 2 else (False, True):
            times[on] = await block(graph, {"callbacks": [recorder]} if on else {}, runs)
        if turn:  # the first warms up
            added = (times[True][0] - times[False][0]) / runs
            found.append((added, times[True][1] / runs, times[False][1] / runs))
    return found


def main() -> None:
    names = ("langgraph", "langchain-core", "orjson")
    print(f"Python {platform.python_version()}, {', '.join(f'{one} {version(one)}' for one in names)}")
    with tempfile.TemporaryDirectory() as folder, Recorder(folder) as recorder:
        rows = asyncio.run(measured(Script(), recorder, RUNS, BLOCKS))
        step_ms = [added * 1e3 / (STEPS + 1) for added, _, _ in rows]
        low, high = interval(lambda chosen: statistics.median(step_ms[one] for one in chosen), len(step_ms))
        middle = statistics.median(step_ms)
        print(
            f"  CPU that recording adds: {middle:.3f} [{low:.3f}, {high:.3f}] ms a step of {ROUTES} routes, "
            f"n = {len(rows)} blocks of {RUNS} runs, wanted under 1: {verdict(held=middle < 1)}"
        )
        rows = asyncio.run(measured(Waiting(), recorder, 2, 15))
        shares = [on / off - 1 for _, on, off in rows]
        low, high = interval(lambda chosen: statistics.median(shares[one] for one in chosen), len(shares))
        middle = statistics.median(shares)
        print(
            f"  Share of a run with a {WAIT_S * 1e3:.0f} ms policy: {middle:.2%} [{low:.2%}, {high:.2%}], "
            f"n = {len(rows)}, wanted at most 3 %: {verdict(held=middle <= 0.03)}"
        )
        print(f"  {recorder.writer.written:,} lines written, {recorder.lost} lost.")


if __name__ == "__main__":
    main()
