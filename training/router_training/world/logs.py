"""Runs of real graphs in the world, recorded, and how well a policy chose in them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from router_graph.context import RouterContext
from router_graph.policies.policy import Policy
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_training.world.questions import Question
from router_training.world.world import Prices, World

_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Task:
    """A question, at prices."""

    question: Question
    prices: Prices

    @property
    def id(self) -> str:
        """Tells it from the same question at other prices."""
        return f"{self.question.id}@{self.prices[0]:g}/{self.prices[1]:g}"


def record(
    world: World, policy: Policy | str, tasks: Sequence[Task], folder: str | Path, *, times: int = 1, seed: int = 0
) -> list[RunRecord]:
    """Run each task so many times, and read the log. Each run has a seed of its own, from `seed` on."""
    asyncio.run(_record(world, policy, tasks, Path(folder), times, seed))
    return list(read_runs(folder))


async def _record(
    world: World, policy: Policy | str, tasks: Sequence[Task], folder: Path, times: int, seed: int
) -> None:
    room = asyncio.Semaphore(_AT_ONCE)
    graphs = {prices: world.graph(policy, prices) for prices in {task.prices for task in tasks}}
    runs = enumerate((task for task in tasks for _ in range(times)), start=seed)

    async def run(task: Task, seed: int) -> None:
        async with room:
            await graphs[task.prices].ainvoke(
                {"question": task.question.text},
                config={"callbacks": [recorder], "metadata": {**task.question.metadata, "question_id": task.id}},
                context=RouterContext(seed=seed),
            )

    with Recorder(folder, sync="never", strict=True) as recorder:
        await asyncio.gather(*(run(task, number) for number, task in runs))


@dataclass(frozen=True, slots=True)
class Chosen:
    """How well a policy chose."""

    runs: int
    right: int
    """Runs in which every decision was one of the best."""
    answered: int
    """Runs that gave the right answer."""
    usd: float
    """What they cost together."""

    @property
    def accuracy(self) -> float:
        """The share of runs in which every decision was one of the best."""
        return self.right / self.runs


def chosen(world: World, runs: Sequence[RunRecord], questions: Mapping[str, Question]) -> Chosen:
    """How well the policy of these runs chose. `questions` are by text."""
    right = sum(_is_right(world, run, questions[run.question]) for run in runs)
    answered = sum(run.answer == questions[run.question].answer for run in runs)
    return Chosen(len(runs), right, answered, sum(run.usd for run in runs))


def judge(world: World, policy: Policy | str, tasks: Sequence[Task], *, seed: int = 0) -> Chosen:
    """Run each task once, and see how well the policy chose."""
    with tempfile.TemporaryDirectory() as folder:
        runs = record(world, policy, tasks, folder, seed=seed)
    return chosen(world, runs, {task.question.text: task.question for task in tasks})


def _is_right(world: World, run: RunRecord, question: Question) -> bool:
    for record in run.steps:
        actions = record.step.get("actions", [])
        if len(actions) != 1:
            return False
        kind = actions[0]["kind"]
        target = {"kb": f"kb:{actions[0].get('kb')}", "llm": f"llm:{actions[0].get('model')}"}.get(kind, kind)
        if target not in world.best(view_at(run, record.number), question):
            return False
    return run.stop_reason == "answered"
