"""The knowledge bases alone: how often a search finds what is needed, in each search mode, without any policy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from router_graph.errors import EvaluationError
from router_graph.evaluation.intervals import Interval, bootstrap
from router_graph.evaluation.questions import Question
from router_graph.evaluation.ranking import hit, ndcg, recall, reciprocal_rank
from router_graph.knowledge import Knowledge

Mode = Literal["lexical", "dense", "hybrid"]
MODES: tuple[Mode, ...] = get_args(Mode)
DEPTH = 10
METRICS: Mapping[str, Callable[[Sequence[str], frozenset[str]], float]] = {
    "hit@1": lambda ranking, relevant: hit(ranking, relevant, 1),
    "hit@5": lambda ranking, relevant: hit(ranking, relevant, 5),
    "recall@1": lambda ranking, relevant: recall(ranking, relevant, 1),
    "recall@5": lambda ranking, relevant: recall(ranking, relevant, 5),
    "recall@10": lambda ranking, relevant: recall(ranking, relevant, 10),
    "mrr": lambda ranking, relevant: reciprocal_rank(ranking, relevant, DEPTH),
    "ndcg@10": lambda ranking, relevant: ndcg(ranking, relevant, DEPTH),
}


@dataclass(frozen=True)
class Searched:
    """One knowledge base in one mode."""

    name: str
    mode: Mode
    n: int
    """Questions that need a document of it."""
    metrics: Mapping[str, Interval]
    ms: float
    """The median of a search, one at a time."""

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        told = {name: {"mean": one.mean, "low": one.low, "high": one.high} for name, one in self.metrics.items()}
        return {"policy": f"{self.name}, {self.mode}", "n": self.n, **told, "ms": self.ms}


def searched(
    questions: Sequence[Question],
    knowledge: Mapping[str, Knowledge],
    *,
    begin: Callable[[str, int], Callable[[], None]] = lambda name, total: lambda: None,
) -> Iterator[Searched]:
    """Each knowledge base that has needed documents, in each mode. Raises `EvaluationError` where nobody needs any."""
    needed = list(_needed(questions, knowledge))
    if not needed:
        raise EvaluationError("No question says which documents it needs (metadata.gold_documents).")
    for name in dict.fromkeys(one for one, _, _ in needed):
        base: Any = knowledge[name].base
        deep = min(DEPTH, base.count())
        asked = [(question, relevant) for one, question, relevant in needed if one == name]
        for mode in MODES:
            tick = begin(f"{name}, {mode}", len(asked))
            rankings, seconds = [], []
            for question, _ in asked:
                begun = time.perf_counter()
                rankings.append([found.doc_id for found in base.search(question, deep, mode=mode)])
                seconds.append(time.perf_counter() - begun)
                tick()
            metrics = {
                metric: bootstrap([score(ranking, right) for ranking, (_, right) in zip(rankings, asked, strict=True)])
                for metric, score in METRICS.items()
            }
            yield Searched(name, mode, len(asked), metrics, float(np.median(seconds)) * 1000)


def _needed(
    questions: Sequence[Question], knowledge: Mapping[str, Knowledge]
) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Knowledge base, question, and the ids of it that answer a need."""
    held: dict[str, set[str]] = {}
    names = {name for question in questions for group in question.gold.documents or () for name in group}
    for name, one in knowledge.items():
        get = getattr(one.base, "get", None)
        if get is None:
            raise EvaluationError(f"{name!r} cannot be looked up by id; search modes are those of kb_tools.")
        held[name] = {document.id for document in get(sorted({one.removeprefix(f"{name}:") for one in names}))}
    for question in questions:
        for group in question.gold.documents or ():
            for name, ids in held.items():
                relevant = frozenset(one.removeprefix(f"{name}:") for one in group) & ids
                if relevant:
                    yield name, question.text, relevant


def markdown(rows: Sequence[Searched]) -> str:
    """The rows as a table, shares in percent."""
    lines = [f"| knowledge base, mode | n | {' | '.join(METRICS)} | ms |", f"|---|---|{'---|' * len(METRICS)}---|"]
    for row in rows:
        cells = [f"{100 * one.mean:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]" for one in row.metrics.values()]
        lines.append(f"| {row.name}, {row.mode} | {row.n} | {' | '.join(cells)} | {row.ms:.1f} |")
    return "\n".join(lines) + "\n"
