"""What is told of a run beside its answer: the usage, the bill, the sources and the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_graph.actions import RouteToKB, RouteToLLM, action_from_dict
from router_graph.budget import Amount
from router_graph.ledger import Entries, Entry, total
from router_graph.state import Step

_QUERY, _THOUGHT = 1000, 1000
"""Characters that are told of each."""


def usage_json(ledger: Entries) -> dict[str, Any]:
    """The tokens of all calls, and in `cost` what they cost in USD, as OpenRouter says it.

    Tokens of which nobody knows whether they were read or said, as of a call that broke off, count as read.
    """
    kinds = {"input": 0, "output": 0, "cached": 0, "reasoning": 0}
    for entry in ledger.values():
        for kind in kinds:
            kinds[kind] += (entry["usage"] or {}).get(kind, 0)
    spent = total(ledger, "spent")
    said = min(kinds["output"], spent.tokens)
    return {
        "prompt_tokens": spent.tokens - said,
        "completion_tokens": said,
        "total_tokens": spent.tokens,
        "prompt_tokens_details": {"cached_tokens": kinds["cached"]},
        "completion_tokens_details": {"reasoning_tokens": kinds["reasoning"]},
        "cost": spent.usd,
    }


def facts_json(state: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
    """The field `polyroute` of a reply."""
    ledger, steps = state["ledger"], state["steps"]
    last = steps[-1]["decision"]
    return {
        "run": state["turn"],
        "policy": last["policy"],
        "stop_reason": state["stop_reason"],
        "problem": last["problem"],
        "citations": list(state["citations"]),
        "cost_usd": total(ledger, "spent").usd,
        "seconds": round(seconds, 3),
        "ledger": [_call(entry) for entry in sorted(ledger.values(), key=lambda entry: entry["at"])],
        "steps": [_step(step) for step in steps],
    }


def _call(entry: Entry) -> dict[str, Any]:
    spent, usage = Amount(**entry["spent"]), entry["usage"] or {}
    kind = "kb" if entry["purpose"] == "knowledge_base" else "llm"
    return {
        "option": f"{kind}:{entry['name']}",
        "purpose": entry["purpose"],
        "state": entry["state"],
        "prompt_tokens": usage.get("input"),
        "completion_tokens": usage.get("output"),
        "tokens": spent.tokens,
        "usd": spent.usd,
        "estimated": entry["estimated"],
        "error": entry["error"],
    }


def _step(step: Step) -> dict[str, Any]:
    decision = step["decision"]
    return {
        "number": step["number"],
        "thought": step.get("thought", "")[:_THOUGHT],
        "usd": decision["usd"],
        "forced": decision["forced"],
        "asked": [_asked(step, at, one) for at, one in enumerate(step.get("actions", ())) if _is_route(one)],
    }


def _is_route(action: Mapping[str, Any]) -> bool:
    return action["kind"] in ("kb", "llm")


def _asked(step: Step, at: int, action: dict[str, Any]) -> dict[str, Any]:
    route, came = action_from_dict(action), step.get("observations", {}).get(str(at))
    assert isinstance(route, RouteToKB | RouteToLLM)
    told: dict[str, Any] = {"to": route.target, "query": route.query[:_QUERY]}
    if came is None:
        return {**told, "status": "not asked"}
    return {
        **told,
        "status": came["status"],
        "served": came["served"],
        "documents": [f"{hit['kb']}:{hit['doc_id']}" for hit in came["hits"]],
        "usd": came["usd"],
        "tokens": came["tokens"],
        "seconds": round(came["seconds"], 3),
    }
