"""An action as the pages write it, `{"kind": "kb", "target": "kb:tables", "query": …}`, and as the graph knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_graph.actions import Action, Answer, RouteToKB, RouteToLLM, action_from_dict
from router_graph.viewer.problems import Problem

_FORM = '{"kind": "kb" or "llm", "target": "kb:NAME" or "llm:NAME", "query": "…"}, or {"kind": "answer", "text": "…"}'
_MOST_TEXT = 20_000
_MOST_K = 100


def as_told(action: Mapping[str, Any]) -> dict[str, Any]:
    """For the pages, of `action_as_dict`."""
    made = action_from_dict(action)
    told: dict[str, Any] = {"kind": made.kind, "target": made.target}
    if isinstance(made, RouteToLLM):
        told["evidence"] = made.evidence
    return told | {name: value for name, value in action.items() if name not in ("kind", "kb", "model")}


def action_of(told: Any, *, has_evidence: bool = False) -> Action:
    """A route or an answer. A model is shown what was found so far unless it says otherwise. Raises `Problem`."""
    if not isinstance(told, Mapping):
        raise Problem(400, f"An action is {_FORM}.")
    kind, target, query, text = (told.get(name, "") for name in ("kind", "target", "query", "text"))
    if not all(isinstance(one, str) and len(one) <= _MOST_TEXT for one in (kind, target, query, text)):
        raise Problem(400, f"kind, target, query and text of an action are texts of at most {_MOST_TEXT:,} characters.")
    if kind == "answer":
        return Answer(text)
    named, _, name = target.partition(":")
    if kind not in ("kb", "llm") or named != kind or not name:
        raise Problem(400, f"An action is {_FORM}.")
    if kind == "llm":
        evidence = told.get("evidence", has_evidence)
        if not isinstance(evidence, bool):
            raise Problem(400, "evidence says whether the model is shown what was found: true or false.")
        return RouteToLLM(name, query, evidence=evidence)
    k, linked = told.get("k"), told.get("linked")
    if k is not None and (isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= _MOST_K):
        raise Problem(400, f"k is how many documents are wanted, a whole number from 1 to {_MOST_K}, or left out.")
    if linked is not None and not isinstance(linked, str):
        raise Problem(400, "linked names a document that was found, as in kb:doc_id, or is left out.")
    return RouteToKB(name, query, k=k, linked=linked)
