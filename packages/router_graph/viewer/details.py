"""A run as its page shows it: JSON of the whole record, each step with every option it had."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from router_graph.actions import Action, RouteToKB, action_from_dict
from router_graph.evidence.rows import rows_of
from router_graph.state import Hit
from router_graph.trajectories.records import Call, RunRecord, StepRecord
from router_graph.viewer.gauges import gauge_at_end, gauges_before
from router_graph.viewer.summary import forked_from, gold_of

ImageOf = Callable[[str, str], str | None]
"""The address of the picture of a document, given its knowledge base and its id; None where there is none."""

_MOST_PROMPT = 200_000
"""Characters of a prompt that are sent."""


def details_of(run: RunRecord, row: Mapping[str, Any], db: sqlite3.Connection, image_of: ImageOf) -> dict[str, Any]:
    """All there is to show of a run."""
    rewards, labels = _rewards(db, run.run_id), _labels(db, run.run_id)
    gold = gold_of(run.metadata)
    is_known = bool(gold.answers) or gold.documents is not None
    return {
        "row": dict(row),
        "is_ours": run.is_ours,
        "error": run.error,
        "earlier": [list(one) for one in run.earlier],
        "images": list(run.images),
        "metadata": dict(run.metadata),
        "software": dict(run.software),
        "settings": dict(run.settings),
        "citations": list(run.citations),
        "gold": {
            "answers": list(gold.answers),
            "documents": None if gold.documents is None else [sorted(one) for one in gold.documents],
        }
        if is_known
        else None,
        "gauge": gauge_at_end(run),
        "steps": [
            _step(run, one, image_of, rewards.get(one.number, []), labels.get(one.number, [])) | {"gauge": gauge}
            for one, gauge in zip(run.steps, gauges_before(run), strict=True)
        ],
        "calls": [_call(one) for one in run.calls],
        "rewards": rewards.get(0, []),
    }


def _step(
    run: RunRecord, record: StepRecord, image_of: ImageOf, rewards: list[Any], labels: list[Any]
) -> dict[str, Any]:
    step, decision = record.step, record.step["decision"]
    actions = [action_from_dict(one) for one in step.get("actions", ())]
    chosen = {one.target for one in actions}
    chances = decision["probabilities"] or {}
    observations = step.get("observations", {})
    cited = {(one["kb"], one["doc_id"]) for one in run.citations}
    holds = {one["key"]: one["modality"] for one in run.menu}
    forked = forked_from(run.metadata)
    return {
        "number": record.number,
        "at": record.at,
        "thought": step.get("thought", ""),
        "reply": step.get("reply", ""),
        **{name: decision[name] for name in ("problem", "policy", "version", "protocol", "served", "forced")},
        **{name: decision[name] for name in ("propensity", "usd", "tokens", "seconds", "replay_id", "left")},
        "cached": forked is not None and record.number < forked["step"],
        "options": [
            {
                **option,
                "probability": chances.get(option["key"]),
                "masked": decision["masked"].get(option["key"]),
                "chosen": option["key"] in chosen,
            }
            for option in run.menu
        ],
        "actions": [
            _action(one, observations.get(str(n)), cited, holds.get(one.target, ""), image_of)
            for n, one in enumerate(actions)
        ],
        "shadow": step.get("shadow"),
        "rewards": rewards,
        "labels": labels,
        "prompt": _prompt(record.call),
        "call": None if record.call is None else _call(record.call),
    }


def _action(
    action: Action, seen: Mapping[str, Any] | None, cited: set[tuple[str, str]], modality: str, image_of: ImageOf
) -> dict[str, Any]:
    text = getattr(action, "text", None) or getattr(action, "problem", "")
    shown = {
        "kind": action.kind,
        "target": action.target,
        "query": getattr(action, "query", None),
        "k": action.k if isinstance(action, RouteToKB) else None,
        "linked": getattr(action, "linked", None),
        "evidence": getattr(action, "evidence", None),
        "text": text,
        "observation": None,
    }
    if seen is not None:
        told = {name: seen[name] for name in ("status", "text", "served", "usd", "tokens", "seconds")}
        shown["observation"] = {**told, "hits": [_hit(one, cited, modality, image_of) for one in seen["hits"]]}
    return shown


def _hit(hit: Hit, cited: set[tuple[str, str]], modality: str, image_of: ImageOf) -> dict[str, Any]:
    is_table = modality == "table" or all(line.startswith("|") for line in hit["text"].split("\n"))
    rows = rows_of(hit) if is_table else None  # a passage with a table in it is shown whole
    return {
        **hit,
        "cited": (hit["kb"], hit["doc_id"]) in cited,
        "table": None if rows is None else {"header": rows.columns, "rows": rows.cells},
        "image": image_of(hit["kb"], hit["doc_id"]) if modality == "image" else None,
    }


def _prompt(call: Call | None) -> list[dict[str, Any]] | None:
    if call is None:
        return None
    left, prompt = _MOST_PROMPT, []
    for message in call["prompt"]:
        content = message["content"]
        text = (content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))[:left]
        left -= len(text)
        prompt.append({"role": message["role"], "content": text})
    return prompt


def _call(call: Call) -> dict[str, Any]:
    names = ("node", "model", "reply", "tool_calls", "input_tokens", "output_tokens", "seconds", "error", "sampling")
    return {name: call.get(name) for name in names}


def _rewards(db: sqlite3.Connection, run: str) -> dict[int, list[dict[str, Any]]]:
    """By the number of the step; 0 is the run."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row in db.execute("SELECT * FROM rewards WHERE run = ? ORDER BY made DESC, name", [run]):
        one = {name: row[name] for name in ("name", "version", "value")}
        found.setdefault(row["step"], []).append({**one, "components": json.loads(row["components"])})
    return found


def _labels(db: sqlite3.Connection, run: str) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in db.execute("SELECT * FROM labels WHERE run = ? ORDER BY at", [run]):
        one = {name: row[name] for name in ("run", "step", "verdict", "note", "at")}
        better = None if row["better"] is None else json.loads(row["better"])
        found.setdefault(row["step"], []).append({**one, "better": better, "by": row["who"]})
    return found
