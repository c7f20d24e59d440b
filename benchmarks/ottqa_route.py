"""OTT-QA through the routing graph: is the answer in the evidence, at which cost, and what does the policy answer?

    python benchmarks/ottqa_route.py [--questions 100] [--split dev] [--policy heuristic] [--json]

Every question goes through the compiled graph. Beside it, in the same table, what anyone would put together first, with
the same short answers taken from its evidence. `in evidence`: a golden answer stands in the title or the text of a
document that was returned at any step, normalised as in SQuAD, as whole words. All settings of `heuristic` were chosen
on the train questions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import platform
import random
import shlex
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ottqa

from kb_tools import Catalog, KnowledgeBase
from router_graph.citations import mark
from router_graph.errors import RouterError
from router_graph.evaluation.metrics import contains, exact_match, f1
from router_graph.evidence import links_of, short_answer
from router_graph.graph import create_router
from router_graph.state import Hit, as_hit
from router_graph.view import found

AT_ONCE = 4
RESAMPLES = 2_000
NEEDED_SHARE, NEEDED_DOCUMENTS = 0.65, 12


@dataclass
class Run:
    """What came of one question."""

    answer: str
    evidence: list[Hit]
    retrievals: int
    steps: int = 1
    stop: str = ""


@dataclass
class Row:
    """A line of the table."""

    name: str
    covered: list[bool] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)
    retrievals: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    em: list[float] = field(default_factory=list)
    f1: list[float] = field(default_factory=list)
    stops: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0

    def add(self, run: Run, golden: Sequence[str]) -> None:
        self.covered.append(any(contains(f"{hit['title']}\n{hit['text']}", golden) for hit in run.evidence))
        self.documents.append(len(run.evidence))
        self.retrievals.append(run.retrievals)
        self.steps.append(run.steps)
        said = without_marks(run.answer, run.evidence)
        self.em.append(exact_match(said, golden))
        self.f1.append(f1(said, golden))
        self.stops[run.stop] += 1
        self.unanswered += not run.answer.strip() or not run.stop

    def facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "n": len(self.covered),
            "in_evidence": mean(self.covered),
            "in_evidence_95": wilson(sum(self.covered), len(self.covered)),
            "documents_max": max(self.documents),
            "documents_mean": mean(self.documents),
            "retrievals_mean": mean(self.retrievals),
            "steps_mean": mean(self.steps),
            "em": mean(self.em),
            "em_95": bootstrap(self.em),
            "f1": mean(self.f1),
            "f1_95": bootstrap(self.f1),
        }


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson, 1927)."""
    z, p = 1.96, hits / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a mean: percentiles of resampled means, seed 0 (Efron, 1979)."""
    draw = random.Random(0)
    means = sorted(mean(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return means[round(0.025 * RESAMPLES)], means[round(0.975 * RESAMPLES) - 1]


def without_marks(answer: str, evidence: Sequence[Hit]) -> str:
    for hit in evidence:
        answer = answer.replace(mark(hit["kb"], hit["doc_id"]), "")
    return answer.strip()


def routed(policy: str, text: KnowledgeBase, tables: KnowledgeBase) -> Callable[[str], Awaitable[Run]]:
    router = create_router([text, tables], policy=policy)

    async def ask(question: str) -> Run:
        out = await router.ainvoke({"question": question})
        steps = out["steps"]
        served = sum(bool(one["served"]) for step in steps for one in step["observations"].values())
        asking = sum(any(one["kind"] in ("kb", "llm") for one in step["actions"]) for step in steps)
        return Run(out["answer"], found(steps), served, asking, out["stop_reason"])

    return ask


def plain(text: KnowledgeBase, tables: KnowledgeBase) -> dict[str, Callable[[str], Awaitable[Run]]]:
    """The baselines. None of them chooses anything."""

    async def both(question: str) -> Run:
        hits = await asyncio.gather(tables.asearch(question, 5), text.asearch(question, 5))
        return _run(question, [one for found in hits for one in found], 2)

    def linked(k: int) -> Callable[[str], Awaitable[Run]]:
        async def follow(question: str) -> Run:
            best = await tables.asearch(question, 1)
            ids = [one for linked in links_of(as_hit(best[0].model_dump())).values() for one in linked]
            return _run(question, [*best, *await text.asearch(question, k, within=ids)], 2)

        return follow

    return {
        "one search of both, 5 + 5": both,
        "best table + 5 best linked": linked(5),
        "best table + 11 best linked": linked(11),
    }


def _run(question: str, hits: Sequence[Any], retrievals: int) -> Run:
    evidence = [as_hit(hit.model_dump()) for hit in hits]
    return Run(short_answer(question, evidence), evidence, retrievals, stop="answered")


async def measure(name: str, ask: Callable[[str], Awaitable[Run]], asked: Sequence[dict[str, Any]]) -> Row:
    """All questions, a few at once; what is left of the time goes to stderr."""
    limit, begun, done = asyncio.Semaphore(AT_ONCE), time.perf_counter(), 0

    async def one(question: str) -> Run:
        nonlocal done
        async with limit:
            run = await ask(question)
        done += 1
        if done % AT_ONCE and done < len(asked):
            return run
        left = (time.perf_counter() - begun) / done * (len(asked) - done)
        print(f"\r{name}: {done}/{len(asked)}, {left:.0f} s left  ", end="", file=sys.stderr, flush=True)
        return run

    runs = await asyncio.gather(*(one(row["question"]) for row in asked))
    print(file=sys.stderr)
    result = Row(name)
    for run, row in zip(runs, asked, strict=True):
        result.add(run, row["golden_answers"])
    return result


def line(facts: dict[str, Any]) -> str:
    def share(name: str) -> str:
        low, high = facts[f"{name}_95"]
        return f"{100 * facts[name]:5.1f} [{100 * low:4.1f}, {100 * high:4.1f}]"

    cost = f"{facts['documents_mean']:5.1f} {facts['documents_max']:4}   {facts['retrievals_mean']:5.2f}"
    return (
        f"{facts['name']:28} {share('in_evidence')}  {cost}  {facts['steps_mean']:5.2f}  {share('em')}  {share('f1')}"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--questions", type=int, default=100, help="how many, from the first; 0 for all")
    arguments.add_argument("--split", choices=["train", "dev"], default="dev")
    arguments.add_argument("--policy", default="heuristic")
    arguments.add_argument("--folder", type=Path, default=ottqa.BUILT)
    arguments.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = arguments.parse_args()
    ottqa.need_data()
    asked = list(ottqa.rows(f"questions.{given.split}.jsonl"))[: given.questions or None]
    with Catalog(given.folder) as catalog:
        text, tables, _ = ottqa.build(catalog)
        try:
            asks = {given.policy: routed(given.policy, text, tables), **plain(text, tables)}
        except RouterError as error:
            sys.exit(str(error))
        rows = asyncio.run(everything(asks, asked))
    echo = [row["question"] for row in asked]
    golden = [row["golden_answers"] for row in asked]
    control = {
        "em": mean([exact_match(one, right) for one, right in zip(echo, golden, strict=True)]),
        "f1": mean([f1(one, right) for one, right in zip(echo, golden, strict=True)]),
    }
    facts = [row.facts() for row in rows]
    ours = rows[0]
    held = not ours.unanswered and mean(ours.covered) >= NEEDED_SHARE and max(ours.documents) <= NEEDED_DOCUMENTS
    about = {
        "command": shlex.join(["python", *sys.argv]),
        "split": given.split,
        "n": len(asked),
        "python": platform.python_version(),
        "versions": {one: version(one) for one in ("polyroute", "langgraph", "chromadb", "onnxruntime")},
        "seed": 0,
    }
    if given.json:
        stops = dict(ours.stops)
        print(
            json.dumps({**about, "rows": facts, "echo_the_question": control, "stops": stops, "held": held}, indent=1)
        )
        return
    print(f"{about['command']}\nOTT-QA {given.split}, n = {len(asked)}; Python {about['python']}, ", end="")
    print(", ".join(f"{name} {one}" for name, one in about["versions"].items()) + "; deterministic, bootstrap seed 0")
    print(f"\n{'':28} {'in evidence, %':19}  documents      mean   mean")
    print(f"{'':28} {'[95 %]':19}   mean  max   searches  steps  {'EM, % [95 %]':19}  F1, % [95 %]")
    for one in facts:
        print(line(one))
    print(f"{'echo the question':28} {'':47}{100 * control['em']:5.1f}{'':16}{100 * control['f1']:5.1f}")
    stops = ", ".join(f"{reason or 'none'} {n}" for reason, n in sorted(ours.stops.items()))
    print(f"\nStop reasons of {given.policy}: {stops}; without an answer: {ours.unanswered}")
    print(
        f"At least {100 * NEEDED_SHARE:.0f} % in at most {NEEDED_DOCUMENTS} documents, always an answer: "
        f"{'held' if held else 'MISSED'}"
    )


async def everything(asks: dict[str, Callable[[str], Awaitable[Run]]], asked: Sequence[dict[str, Any]]) -> list[Row]:
    return [await measure(name, ask, asked) for name, ask in asks.items()]


if __name__ == "__main__":
    main()
