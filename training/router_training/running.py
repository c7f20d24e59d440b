"""Policies run on held-out questions, through the real graph: what each earns and spends, question by question."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from langgraph.graph.state import CompiledStateGraph

from router_graph.evaluation.answers import bare
from router_graph.evaluation.gold import Gold
from router_graph.evaluation.questions import mark_of
from router_graph.ledger import total
from router_training.errors import DataError
from router_training.ope.bandit import Floats
from router_training.ope.intervals import Interval, interval
from router_training.ope.promotion import Promotion, Values, gate
from router_training.ope.rules import DEFAULT, Rules
from router_training.rewards.gold import Questions
from router_training.rewards.router_r1 import Metric, outcome

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its right answers."""

    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ran:
    """One policy on all questions."""

    quality: Floats
    """[Q] from 0 to 1."""
    usd: Floats
    """[Q]."""


@dataclass(frozen=True)
class Comparison:
    """What running them says."""

    candidate: str
    quality: Mapping[str, Interval]
    usd: Mapping[str, float]
    """Per question."""
    ahead: Mapping[str, Interval]
    """What the candidate earns more than each other policy, question by question."""
    promotion: Promotion

    @property
    def is_better(self) -> bool:
        """The candidate passed the gate."""
        return self.promotion.word == "promote"

    @property
    def sentence(self) -> str:
        """Without its full stop."""
        asked = self.quality[self.candidate].n
        return f"run on {asked:,} held-out questions, {self.promotion.reason}"


def read_questions(path: Path) -> list[Asked]:
    """The questions of a file in FlashRAG's form that have a right answer. Raises `DataError`."""
    Questions.load(path)
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    found = [
        Asked(str(row["question"]), tuple(str(one) for one in _several(row["golden_answers"])))
        for row in rows
        if row.get("question")
    ]
    found = [one for one in found if one.answers]
    if not found:
        raise DataError(f"{path} has no question with a right answer to run policies on.")
    return found


def unseen_questions(asked: Sequence[Asked], seen: Collection[str]) -> list[Asked]:
    """Those that a policy was not trained on. Raises `DataError` where there is none."""
    fresh = [one for one in asked if mark_of(one.question) not in seen]
    if not fresh:
        raise DataError(f"The policy was trained on all {len(asked):,} questions; give others to judge it by.")
    return fresh


async def ran(
    graph: CompiledStateGraph[Any, Any, Any, Any],
    asked: Sequence[Asked],
    *,
    metric: Metric = "f1",
    tick: Callable[[], None] = lambda: None,
) -> Ran:
    """Ask a graph all questions."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(question: Asked) -> tuple[float, float]:
        async with room:
            result = await graph.ainvoke({"question": question.question})
            tick()
            gold = Gold(question.answers)
            said = bare(result["answer"], result["citations"])
            return outcome(said, gold, metric), float(total(result["ledger"], "spent").usd)

    pairs = await asyncio.gather(*(one(question) for question in asked))
    table = np.asarray(pairs, dtype=np.float64)
    return Ran(table[:, 0], table[:, 1])


def compared(
    candidate: str, results: Mapping[str, Ran], *, seed: int = 0, rules: Rules = DEFAULT, worth: float | None = None
) -> Comparison:
    """The candidate against all others, and what the gate says. Raises `ConfigError` for a `worth` that is none."""
    mine = results[candidate]
    others = {name: one for name, one in results.items() if name != candidate}
    simple = {name: Values(one.quality, one.usd) for name, one in others.items()}
    spread = float(mine.quality.std())
    return Comparison(
        candidate,
        {name: interval(one.quality, seed=seed) for name, one in results.items()},
        {name: float(one.usd.mean()) for name, one in results.items()},
        {name: interval(mine.quality - one.quality, seed=seed) for name, one in others.items()},
        gate(Values(mine.quality, mine.usd), simple, spread=spread, seed=seed, rules=rules, worth=worth),
    )


def _several(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else [value]
