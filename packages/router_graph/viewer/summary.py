"""What the table of runs and its filters know of a run: one row of the run, and one of each action of its steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router_graph.actions import Action, RouteToKB, RouteToLLM, action_from_dict
from router_graph.evaluation.answers import bare
from router_graph.evaluation.gold import Gold, answers_of
from router_graph.evaluation.metrics import contains, normalize_answer
from router_graph.trajectories.forks import FORKED_FROM, POLICY
from router_graph.trajectories.records import RunRecord, StepRecord

_WHOLE = frozenset({"yes", "no", "noanswer"})
"""Answers that stand in any text: only the same answer is right."""
LONGEST = 4_000
"""Characters of a text that the table of runs and its filters keep."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A run and its actions, as columns of the index."""

    run: dict[str, Any]
    acts: list[dict[str, Any]]


def summary_of(run: RunRecord, grown: float, *, is_fork: bool) -> Summary:
    """The rows of a run. `grown` is when its last line was written."""
    forked = forked_from(run.metadata)
    path = [one.target for step in run.steps for one in actions_of(step)]
    if run.status == "ended" and path[-1:] != ["answer"]:
        path.append("answer")
    decided = next((one for one in (step.step["decision"] for step in run.steps) if one["policy"] != POLICY), None)
    said = decided or run.settings
    golds = gold_of(run.metadata).answers
    row = {
        "id": run.run_id,
        "at": run.at,
        "question": run.question[:LONGEST],
        "answer": run.answer[:LONGEST],
        "status": run.status,
        "stop_reason": run.stop_reason,
        "policy": str(said.get("policy") or ""),
        "protocol": str(said.get("protocol") or ""),
        "right": is_right(said_in(run), golds) if golds and run.status == "ended" else None,
        "said": said_in(run)[:LONGEST],
        "gold": list(golds) or None,
        "usd": run.usd,
        "tokens": run.tokens,
        "seconds": run.seconds,
        "steps": len(run.steps),
        "thread": run.thread_id,
        "question_id": run.question_id[:LONGEST],
        "forked_run": forked["run"] if forked else None,
        "forked_step": forked["step"] if forked else None,
        "is_fork": is_fork or forked is not None,
        "path": path[:60],
        "grown": grown,
    }
    return Summary(row, [act for step in run.steps for act in _acts(step)])


def said_in(run: RunRecord) -> str:
    """The run's answer, without its sources."""
    return bare(run.answer, [*run.citations, *(hit for step in run.steps for hit in _hits(step))])


def is_right(said: str, golds: Sequence[str]) -> bool:
    """Whether a right answer stands in what was said."""
    whole = normalize_answer(said)
    in_text = [one for one in golds if normalize_answer(one) not in _WHOLE]
    return any(whole == normalize_answer(one) for one in golds) or contains(said, in_text)


def gold_of(metadata: Mapping[str, Any]) -> Gold:
    """What is right for a run, as it was recorded with it; empty where that cannot be read."""
    from router_graph.evaluation.gold import needed_of

    try:
        return Gold(answers_of(metadata.get("gold") or ()), needed_of(metadata.get("gold_documents")))
    except TypeError:
        return Gold()


def forked_from(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """The run and the step that a run was forked from."""
    told = metadata.get(FORKED_FROM)
    if not isinstance(told, Mapping) or not isinstance(told.get("run"), str) or not isinstance(told.get("step"), int):
        return None
    return {"run": told["run"], "step": told["step"]}


def actions_of(step: StepRecord) -> list[Action]:
    """What the step did."""
    return [action_from_dict(one) for one in step.step.get("actions", ())]


def _hits(step: StepRecord) -> Iterator[Any]:
    for one in step.step.get("observations", {}).values():
        yield from one["hits"]


def _acts(record: StepRecord) -> Iterator[dict[str, Any]]:
    step, decision = record.step, record.step["decision"]
    observations = step.get("observations", {})
    chances = decision["probabilities"] or {}
    facts = {
        "number": record.number,
        "masked": "\n".join(f"{key}: {why}" for key, why in decision["masked"].items())[:LONGEST],
        "usd": decision["usd"] + sum(one["usd"] for one in observations.values()),
        "propensity": decision["propensity"],
        "forced": decision["forced"],
        "thought": step.get("thought", "")[:LONGEST],
    }
    actions: Sequence[Action | None] = actions_of(record) or [None]
    for position, action in enumerate(actions):
        seen = observations.get(str(position))
        yield {
            **facts,
            "position": position,
            "kb": action.kb if isinstance(action, RouteToKB) else None,
            "llm": action.model if isinstance(action, RouteToLLM) else None,
            "target": None if action is None else action.target,
            "query": getattr(action, "query", "")[:LONGEST],
            "status": None if seen is None else seen["status"],
            "served": None if seen is None else seen["served"],
            "p": None if action is None else chances.get(action.target),
        }
