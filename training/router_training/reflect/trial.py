"""Puts questions to a graph, and judges the runs: what the texts in it are worth."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from router_graph.evaluation.answers import bare
from router_graph.evaluation.gold import Gold
from router_graph.evaluation.metrics import f1
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.records import RunRecord
from router_training.reflect.texts import Graph

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Task:
    """A question, and what is right."""

    question: str
    gold: Gold
    context: Mapping[str, Any] = field(default_factory=dict)
    """The turn's limits and preferences, as `RouterContext` has them."""


Judge = Callable[[RunRecord, Gold], float]
"""How good a run is; more is better."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A question that was put, and what came of it."""

    task: Task
    score: float
    run: RunRecord | None
    """None where the run broke off."""
    problem: str = ""


def answered_right(run: RunRecord, gold: Gold) -> float:
    """F1 of the answer without its citations, from 0 to 1."""
    return f1(bare(run.answer, run.citations), gold.answers)


def put(graph: Graph, tasks: Sequence[Task], judge: Judge) -> list[Trial]:
    """Each question once, a few side by side, in their order. A run that breaks off scores 0."""
    with ThreadPoolExecutor(1) as thread:  # whoever calls may be in an event loop of their own
        return thread.submit(lambda: asyncio.run(_put(graph, tasks, judge))).result()


async def _put(graph: Graph, tasks: Sequence[Task], judge: Judge) -> list[Trial]:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(place: int, task: Task) -> str:
        config: Any = {"callbacks": [recorder], "metadata": {"question_id": str(place)}}
        async with room:
            try:
                await graph.ainvoke({"question": task.question}, config=config, context=dict(task.context))
            except Exception as error:  # a broken run is worth nothing, and no reason to stop the search
                return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return ""

    with tempfile.TemporaryDirectory() as folder:
        with Recorder(Path(folder), sync="never", strict=True) as recorder:
            problems = await asyncio.gather(*(one(place, task) for place, task in enumerate(tasks)))
        runs = {run.question_id: run for run in read_runs(folder)}
    return [_trial(task, runs.get(str(n)), problems[n], judge) for n, task in enumerate(tasks)]


def _trial(task: Task, run: RunRecord | None, problem: str, judge: Judge) -> Trial:
    if run is None or run.status != "ended":
        return Trial(task, 0.0, None, problem or "The run broke off.")
    return Trial(task, judge(run, task.gold), run)
