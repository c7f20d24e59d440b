"""What came of one question under one policy, as a line of a file: all that is scored, and no text of a document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from router_graph.budget import PICO
from router_graph.evaluation.answers import bare
from router_graph.evaluation.questions import Question
from router_graph.ledger import Entries
from router_graph.view import found

_ASKED = ("ok", "empty", "failed")
"""What came of a route that was taken."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One route that was taken."""

    step: int
    """From 1; routes of one step went side by side."""
    target: str
    """`kb:NAME` or `llm:NAME`."""
    documents: tuple[str, ...] = ()
    """What came back, best first, as `kb:doc_id`."""
    gold: tuple[int, ...] = ()
    """Which of the needed documents were among them, by their place in the question's list."""
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run. The answer is bare."""

    policy: str
    question: str
    """The question's id."""
    seed: int
    answer: str
    stop_reason: str
    asked: tuple[Asked, ...]
    documents: int
    """How many different documents were found."""
    covered: bool
    """Whether a right answer stands in the title or the text of one of them, as whole words; yes and no
    stand in any, and count in none."""
    calls: int
    """Calls of models, those of the policy among them."""
    tokens: int
    usd: float
    cost_units: float
    """Completion tokens times USD per million of them (Router-R1, section 2.3); of the priced models alone."""
    policy_usd: float
    latency_s: float
    error: str = ""
    """Why there is no answer at all, in a sentence; empty if there is one."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """What `to_json` made. Raises `TypeError` or `KeyError` for anything else."""
        asked = (
            Asked(**{**one, "documents": tuple(one["documents"]), "gold": tuple(one["gold"])}) for one in row["asked"]
        )
        return cls(**{**row, "asked": tuple(asked)})


def outcome_of(
    result: Mapping[str, Any],
    question: Question,
    policy: str,
    *,
    seed: int,
    seconds: float,
    rates: Mapping[str, float],
) -> Outcome:
    """Of what the graph gave. `rates` are USD per million completion tokens, by model."""
    evidence = found(result["steps"])
    bill = _bill(result["ledger"], rates)
    return Outcome(
        policy=policy,
        question=question.id,
        seed=seed,
        answer=bare(result["answer"], evidence),
        stop_reason=result["stop_reason"],
        asked=tuple(_asked(result["steps"], question)),
        documents=len(evidence),
        covered=question.gold.stands_in(f"{hit['title']}\n{hit['text']}" for hit in evidence),
        latency_s=seconds,
        **bill,
    )


def failed(question: Question, policy: str, error: str, *, seed: int, seconds: float) -> Outcome:
    """A run that raised."""
    return Outcome(policy, question.id, seed, "", "", (), 0, False, 0, 0, 0.0, 0.0, 0.0, seconds, error)


def _asked(steps: Any, question: Question) -> Any:
    for step in steps:
        for position, action in enumerate(step.get("actions", ())):
            came = step.get("observations", {}).get(str(position))
            if action["kind"] not in ("kb", "llm") or came is None or came["status"] not in _ASKED:
                continue
            name = action["kb"] if action["kind"] == "kb" else action["model"]
            hits = came["hits"]
            yield Asked(
                step["number"],
                f"{action['kind']}:{name}",
                tuple(f"{hit['kb']}:{hit['doc_id']}" for hit in hits),
                tuple(sorted(question.gold.met(hits))),
                came["usd"],
            )


def _bill(entries: Entries, rates: Mapping[str, float]) -> dict[str, Any]:
    calls = tokens = 0
    spent = policy = 0
    units = 0.0
    for entry in entries.values():
        if entry["state"] != "settled":
            continue
        spent += entry["spent"].get("picousd", 0)
        tokens += entry["spent"].get("tokens", 0)
        if entry["purpose"] == "policy":
            policy += entry["spent"].get("picousd", 0)
        if entry["purpose"] not in ("knowledge_base", "embedding"):
            calls += 1
            units += (entry["usage"] or {}).get("output", 0) * rates.get(entry["name"], 0.0)
    return {
        "calls": calls,
        "tokens": tokens,
        "usd": spent / PICO,
        "cost_units": units,
        "policy_usd": policy / PICO,
    }
