"""What is measured of one run: a number for each metric that applies to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from router_graph.evaluation.f1_recall import f1_recall
from router_graph.evaluation.metrics import contains, exact_match, f1
from router_graph.evaluation.outcome import Outcome
from router_graph.evaluation.questions import Question
from router_graph.evaluation.ranking import reciprocal_rank

Metric = Callable[[Question, Outcome], float | None]
"""None where it does not apply, as gold documents that nobody has named."""

COSTS = ("usd", "cost_units", "retrievals")
"""What a policy is compared at, the first that is not 0 for all of them."""


def gold_recall(question: Question, run: Outcome) -> float | None:
    """The share of the needed documents that were found at any step; of those of which one is enough, one."""
    if not question.gold.documents:
        return None
    return len({place for one in run.asked for place in one.gold}) / len(question.gold.documents)


def gold_mrr(question: Question, run: Outcome) -> float | None:
    """1 / rank of the first needed document of each search, the mean over the searches of knowledge bases."""
    if not question.gold.documents:
        return None
    ranks = [first_needed(question, one.documents) for one in run.asked if one.target.startswith("kb:")]
    return sum(ranks) / len(ranks) if ranks else 0.0


def routing_accuracy(question: Question, run: Outcome) -> float | None:
    """The share of the searches that asked a knowledge base that has to be asked; 0 where none was asked."""
    if not question.sources:
        return None
    asked = [one.target.removeprefix("kb:") for one in run.asked if one.target.startswith("kb:")]
    return sum(name in question.sources for name in asked) / len(asked) if asked else 0.0


def routing_set(question: Question, run: Outcome) -> float | None:
    """Whether the knowledge bases that were asked are those that have to be, no more and no fewer."""
    if not question.sources:
        return None
    return float(
        {one.target.removeprefix("kb:") for one in run.asked if one.target.startswith("kb:")} == question.sources
    )


def stop_quality(question: Question, run: Outcome) -> float | None:
    """Whether it stopped in time: with all that is needed, and no step after that was there."""
    if question.gold.documents is None:
        return None
    return float(_stopped(question, run) == "in time")


def stopped(question: Question, run: Outcome) -> str | None:
    """`in time`, `too early` (not all that is needed was found) or `too late` (it went on after that)."""
    return None if question.gold.documents is None else _stopped(question, run)


METRICS: dict[str, tuple[str, Metric]] = {
    "em": ("exact match (SQuAD)", lambda q, r: exact_match(r.answer, q.gold.answers)),
    "f1": ("word F1 (SQuAD), yes and no only as a whole", lambda q, r: f1(r.answer, q.gold.answers)),
    "contains": ("a right answer stands in the answer", lambda q, r: float(contains(r.answer, q.gold.answers))),
    "f1_recall": ("R1-Router's recall, to compare only", lambda q, r: f1_recall(r.answer, q.gold.answers)),
    "coverage": ("a right answer stands in the evidence", lambda q, r: float(r.covered)),
    "documents": ("different documents found", lambda q, r: float(r.documents)),
    "gold_recall": ("share of the needed documents found", gold_recall),
    "gold_mrr": ("1 / rank of the first needed document, of each search", gold_mrr),
    "routing_accuracy": ("share of the searches that asked where it is", routing_accuracy),
    "routing_set": ("asked exactly the knowledge bases that have it", routing_set),
    "stop_quality": ("stopped with all that is needed, and no later", stop_quality),
    "retrievals": ("searches", lambda q, r: float(sum(one.target.startswith("kb:") for one in r.asked))),
    "calls": ("calls of models", lambda q, r: float(r.calls)),
    "tokens": ("tokens in and out", lambda q, r: float(r.tokens)),
    "usd": ("USD", lambda q, r: r.usd),
    "cost_units": ("completion tokens, each at its USD per million", lambda q, r: r.cost_units),
    "latency_s": ("seconds", lambda q, r: r.latency_s),
}
"""The metrics by name, each with what it is in a few words."""
DECIDING = ("em", "f1", "contains", "f1_recall", "coverage", "gold_recall", "gold_mrr", "routing_accuracy",
            "routing_set", "stop_quality")  # fmt: skip
"""Those that can decide: from 0 to 1, more is better."""


def scored(question: Question, run: Outcome) -> dict[str, float]:
    """All metrics that apply."""
    found = ((name, metric(question, run)) for name, (_, metric) in METRICS.items())
    return {name: value for name, value in found if value is not None}


def first_needed(question: Question, documents: Sequence[str]) -> float:
    """1 / rank of the first needed document among these, each as `kb:doc_id`; 0 where there is none."""
    needed = {name for one in question.gold.documents or () for name in one}
    return reciprocal_rank([name if name in needed else name.partition(":")[2] for name in documents], needed)


def _stopped(question: Question, run: Outcome) -> str:
    needed = set(range(len(question.gold.documents or ())))
    last = max((one.step for one in run.asked), default=0)
    have: set[int] = set()
    for step in range(last + 1):
        have.update(place for one in run.asked if one.step == step for place in one.gold)
        if have >= needed:
            return "in time" if step == last else "too late"
    return "too early"
