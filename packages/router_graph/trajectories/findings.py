"""What keeps a log from being learned from, as findings with a count and examples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from router_graph.trajectories.assembly import missing_steps
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.records import RunRecord, StepRecord

Severity = Literal["damage", "incomplete", "limit"]
"""Lines are lost; runs are not whole; something cannot be done with what is logged."""

_EXAMPLES = 5


@dataclass(slots=True)
class Finding:
    """One kind of thing that is wrong."""

    severity: Severity
    what: str
    """As in "runs did not end": the count stands before it."""
    means: str
    """What follows, in a sentence."""
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Count one."""
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(example)


_KINDS: dict[str, tuple[Severity, str, str]] = {
    "damaged": ("damage", "lines were skipped", "They are damaged, foreign, or of a newer version."),
    "missing": ("damage", "runs lack steps between others", "What their later steps saw cannot be told."),
    "lost": ("damage", "observations have no step", "Their steps' lines are damaged or lost."),
    "replaced": ("incomplete", "steps or observations were written again", "After a retry or a fork the last counts."),
    "open": ("incomplete", "runs did not end", "They are under way, wait for a person, or their process died."),
    "failed": ("incomplete", "runs failed", "They have no answer."),
    "unanswered": ("incomplete", "steps of runs that ended lack an observation", "What came of a route is not known."),
    "foreign": ("limit", "runs are of graphs of another make", "Only the calls of their models are known."),
    "unknown": ("limit", "steps have no propensity", "Off-policy evaluation cannot use them."),
    "certain": (
        "limit",
        "steps were decided with certainty",
        "They say nothing about the options that were not chosen; record with exploration.",
    ),
    "retokenised": (
        "limit",
        "calls of the policy have no token ids",
        "Only losses without ratios can learn from them.",
    ),
    "logprobs": (
        "damage",
        "calls of the policy have log-probs that cannot be",
        "Each token has one, of 0 at the most.",
    ),
}


def findings_of(runs: Iterable[RunRecord], report: LogReport) -> list[Finding]:
    """Everything that was found, the worst first; `report` is that of reading the runs."""
    found = {name: Finding(*told) for name, told in _KINDS.items()}
    for run in runs:
        _look_at(run, found)
    found["damaged"].count = report.damaged
    found["damaged"].examples = [str(one) for one in report.damages[:_EXAMPLES]]
    found["lost"].count, found["replaced"].count = report.lost, report.replaced
    order: list[Severity] = ["damage", "incomplete", "limit"]
    return sorted((one for one in found.values() if one.count), key=lambda one: order.index(one.severity))


def _look_at(run: RunRecord, found: dict[str, Finding]) -> None:
    if not run.is_ours:
        found["foreign"].add(run.run_id)
    if run.status in ("open", "failed"):
        found[run.status].add(f"{run.run_id}: {run.error}" if run.error else run.run_id)
    if numbers := missing_steps(run):
        found["missing"].add(f"{run.run_id}: {', '.join(map(str, numbers))}")
    for one in run.steps:
        place = f"{run.run_id}, step {one.number}"
        if run.status == "ended" and not one.is_whole:
            found["unanswered"].add(place)
        propensity = one.step["decision"]["propensity"]
        if propensity is None:
            found["unknown"].add(place)
        elif propensity >= 1 and one.step["decision"]["forced"] is None:
            found["certain"].add(place)
        if one.call is not None and one.call["tokens"] is None:
            found["retokenised"].add(place)
        elif not _has_possible_logprobs(one):
            found["logprobs"].add(place)


def _has_possible_logprobs(record: StepRecord) -> bool:
    tokens = record.call["tokens"] if record.call is not None else None
    if tokens is None or tokens["logprobs"] is None:
        return True
    logprobs = tokens["logprobs"]
    return len(logprobs) == len(tokens["completion_ids"]) and all(one is not None and one <= 0 for one in logprobs)
