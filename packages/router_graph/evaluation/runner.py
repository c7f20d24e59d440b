"""Asks all questions under each policy, a few side by side; each outcome is kept at once, so that a cut run goes on."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from langgraph.graph.state import CompiledStateGraph

from router_graph.errors import EvaluationError, RouterError
from router_graph.evaluation.outcome import Outcome, failed, outcome_of
from router_graph.evaluation.questions import Question, mark_of
from router_graph.policies.policy import Policy

OUTCOMES, SETUP = "outcomes.jsonl", "setup.json"
WRITTEN = (OUTCOMES, "learned", "results.json", "results.md", "results.html")
"""What an evaluation writes into its folder."""


@dataclass(frozen=True)
class Task:
    """One policy on all questions, for one seed."""

    name: str
    """In tables."""
    graph: CompiledStateGraph[Any, Any, Any, Any]
    context: Mapping[str, Any]
    """Of each turn; it names the policy."""
    version: str
    """Of the policy: outcomes of another one are not its."""
    seed: int = 0
    rates: Mapping[str, float] = field(default_factory=dict)
    """USD per million completion tokens, by model."""


def claim(folder: Path, setup: Mapping[str, Any]) -> None:
    """Make the folder that of a set-up, if it is not yet.

    Raises `EvaluationError` where it is that of another, or holds files that would be written over, and `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETUP
    if not path.exists():
        if foreign := [name for name in WRITTEN if (folder / name).exists()]:
            raise EvaluationError(
                f"{folder} holds {', '.join(foreign)}, and no {SETUP} that says of what; give another with --out."
            )
        part = folder / f"{SETUP}.{os.getpid()}.part"
        part.write_text(json.dumps(setup, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        part.replace(path)
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        known = None
    if known != json.loads(json.dumps(setup)):
        other = [key for key in setup if not isinstance(known, dict) or known.get(key) != setup[key]]
        raise EvaluationError(
            f"{folder} holds results of another set-up ({', '.join(other) or 'more was set'}); give another "
            "folder with --out, or remove it."
        )


class Kept:
    """A folder of outcomes. Raises `EvaluationError` where it holds those of another set-up, or cannot be written."""

    def __init__(self, folder: Path, setup: Mapping[str, Any]) -> None:
        self._folder = folder
        try:
            claim(folder, setup)
            self._known = {_key(one, version): one for version, one in self._read()}
            self._file = self._opened()
        except OSError as error:
            raise EvaluationError(f"The results cannot be kept in {str(folder)!r} ({error.strerror}).") from None

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def of(self, task: Task, question: Question) -> Outcome | None:
        """What is known already; failures are not."""
        found = self._known.get((task.name, task.version, task.seed, question.id))
        return None if found is None or found.error else found

    def keep(self, task: Task, one: Outcome) -> None:
        """Write it down before anything else happens."""
        self._known[_key(one, task.version)] = one
        self._file.write(json.dumps({"version": task.version, **one.to_json()}) + "\n")
        self._file.flush()

    def _read(self) -> Iterator[tuple[str, Outcome]]:
        path = self._folder / OUTCOMES
        if not path.exists():
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    row = json.loads(line)
                    version = row.pop("version")
                    yield version, Outcome.from_json(row)
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue  # a line that was cut off: its question is asked again

    def _opened(self) -> TextIO:
        path = self._folder / OUTCOMES
        torn = path.exists() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
        file = path.open("a", encoding="utf-8")
        if torn:
            file.write("\n")
        return file


async def run(
    task: Task, questions: Sequence[Question], kept: Kept, *, at_once: int, tick: Callable[[], None] = lambda: None
) -> list[Outcome]:
    """The outcomes, in the order of the questions; those that are kept already are not asked again.

    What one question raises is its own outcome, whose `error` says why.
    """
    outcomes: dict[int, Outcome] = {}
    numbers = iter(range(len(questions)))

    async def work() -> None:
        for number in numbers:
            question = questions[number]
            one = kept.of(task, question)
            if one is None:
                one = await _asked(task, question)
                kept.keep(task, one)
            outcomes[number] = one
            tick()

    async with asyncio.TaskGroup() as group:
        for _ in range(max(1, min(at_once, len(questions)))):
            group.create_task(work())
    return [outcomes[number] for number in range(len(questions))]


async def _asked(task: Task, question: Question) -> Outcome:
    begun = time.perf_counter()
    config: Any = {"metadata": {"question_id": question.id, "gold": list(question.gold.answers)}}
    try:
        result = await task.graph.ainvoke({"question": question.text}, config=config, context=dict(task.context))
    except RouterError as error:
        problem = str(error)
    except Exception as error:  # of one question; the others are still asked
        problem = f"{type(error).__name__}: {error}"
    else:
        seconds = time.perf_counter() - begun
        return outcome_of(result, question, task.name, seed=task.seed, seconds=seconds, rates=task.rates)
    return failed(question, task.name, problem, seed=task.seed, seconds=time.perf_counter() - begun)


def check_unseen(policy: Policy, name: str, questions: Sequence[Question]) -> None:
    """Raise `EvaluationError` where a policy was trained or tuned on questions that it is to be judged by."""
    seen: Collection[str] = policy.seen
    known = [one for one in questions if mark_of(one.text) in seen] if seen else []
    if known:
        raise EvaluationError(
            f"{name!r} was tuned on {len(known):,} of these {len(questions):,} questions, such as "
            f"{known[0].text[:60]!r}; judge it by others."
        )


def _key(one: Outcome, version: str) -> tuple[str, str, int, str]:
    return one.policy, version, one.seed, one.question
