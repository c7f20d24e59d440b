"""Records as rows of typed columns, and back, to the bit. What has no column of its own is JSON in one.

The columns of a step are what training and statistics read without parsing anything; `actions`, `decision`,
`observations`, `call` and `rest` are JSON, and hold what a record is made from again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import orjson

from router_graph.actions import action_from_dict
from router_graph.trajectories.records import Call, RunRecord, StepRecord
from router_graph.trajectories.shards import as_json

if TYPE_CHECKING:  # LangGraph comes with it, which takes long
    from router_graph.state import Step

RUN_COLUMNS: dict[str, str] = {
    "run_id": "string",
    "question_id": "string",
    "question": "string",
    "thread_id": "string",
    "at": "double",
    "ended_at": "double",
    "status": "string",
    "stop_reason": "string",
    "error": "string",
    "answer": "string",
    "usd": "double",
    "tokens": "int64",
    "is_ours": "bool",
    "steps": "int32",
    "metadata": "string",
    "menu": "string",
    "rest": "string",
}
"""Name and type. `steps` is how many there are; `metadata`, `menu` and `rest` are JSON."""

STEP_COLUMNS: dict[str, str] = {
    "run_id": "string",
    "question_id": "string",
    "number": "int32",
    "at": "double",
    "policy": "string",
    "version": "string",
    "protocol": "string",
    "forced": "string",
    "propensity": "double",
    "legal": "list<string>",
    "probabilities": "list<double>",
    "kinds": "list<string>",
    "targets": "list<string>",
    "queries": "list<string>",
    "statuses": "list<string>",
    "usd": "double",
    "tokens": "int64",
    "seconds": "double",
    "routes_usd": "double",
    "routes_tokens": "int64",
    "routes_seconds": "double",
    "thought": "string",
    "reply": "string",
    "prompt": "string",
    "prompt_ids": "list<int32>",
    "completion_ids": "list<int32>",
    "logprobs": "list<double>",
    "actions": "string",
    "decision": "string",
    "observations": "string",
    "call": "string",
    "rest": "string",
}
"""`legal` are the keys of the options that could be chosen, `probabilities` theirs where the policy could score them.
`kinds`, `targets`, `queries` and `statuses` are of the actions, in order; `statuses` is null where nothing came back.
`usd`, `tokens` and `seconds` are the policy's, `routes_*` the sum over what it asked. `prompt` is JSON."""

_RUN_OWN = frozenset(RUN_COLUMNS) - {"question_id", "steps", "rest"}
_TUPLES = ("images", "menu", "calls", "citations")
_STEP_OWN = ("number", "thought", "reply", "actions", "decision", "observations")
_IDS = ("prompt_ids", "completion_ids", "logprobs")


def run_row(run: RunRecord) -> dict[str, Any]:
    """A run's row, without its steps."""
    facts = {one.name: getattr(run, one.name) for one in fields(run) if one.name != "steps"}
    rest = {name: value for name, value in facts.items() if name not in _RUN_OWN}
    return {
        **{name: facts[name] for name in _RUN_OWN},
        "question_id": run.question_id,
        "steps": len(run.steps),
        "metadata": as_text(run.metadata),
        "menu": as_text(run.menu),
        "rest": as_text(rest),
    }


def run_of(row: Mapping[str, Any], steps: tuple[StepRecord, ...]) -> RunRecord:
    """The run of its row and its steps."""
    facts = {**orjson.loads(row["rest"]), **{name: row[name] for name in _RUN_OWN}}
    facts |= {"metadata": orjson.loads(row["metadata"]), "menu": orjson.loads(row["menu"])}
    facts |= {name: tuple(facts[name]) for name in _TUPLES}
    facts["earlier"] = tuple((role, text) for role, text in facts["earlier"])
    known = {one.name for one in fields(RunRecord)}
    return RunRecord(**{name: value for name, value in facts.items() if name in known}, steps=steps)


def step_row(run: RunRecord, record: StepRecord) -> dict[str, Any]:
    """A step's row."""
    step, call = record.step, record.call
    decision, observations = step["decision"], step.get("observations", {})
    actions = [action_from_dict(one) for one in step.get("actions", ())]
    legal = [option["key"] for option in run.menu if option["key"] not in decision["masked"]]
    chances = decision["probabilities"]
    tokens: Mapping[str, Any] = (call and call["tokens"]) or {}
    row = {
        "run_id": run.run_id,
        "question_id": run.question_id,
        "number": step["number"],
        "at": record.at,
        **{name: decision[name] for name in ("policy", "version", "protocol", "forced", "propensity")},
        "legal": legal,
        "probabilities": None if chances is None else [chances.get(key) for key in legal],
        "kinds": [one.kind for one in actions],
        "targets": [one.target for one in actions],
        "queries": [getattr(one, "query", None) for one in actions],
        "statuses": [observations[str(n)]["status"] if str(n) in observations else None for n in range(len(actions))],
        **{name: decision[name] for name in ("usd", "tokens", "seconds")},
        **{f"routes_{name}": sum(one[name] for one in observations.values()) for name in ("usd", "tokens", "seconds")},
        "thought": step.get("thought"),
        "reply": step.get("reply"),
        "prompt": None if call is None else as_text(call["prompt"]),
        **{name: tokens.get(name) for name in _IDS},
        **{name: as_text(step[name]) if name in step else None for name in ("actions", "decision", "observations")},
        "call": None if call is None else as_text(_without_ids(call)),
        "rest": as_text({key: value for key, value in step.items() if key not in _STEP_OWN}),
    }
    return row


def step_of(row: Mapping[str, Any]) -> StepRecord:
    """The step of its row."""
    step: dict[str, Any] = {"number": row["number"], **orjson.loads(row["rest"])}
    for name in ("thought", "reply"):
        if row[name] is not None:
            step[name] = row[name]
    for name in ("actions", "decision", "observations"):
        if row[name] is not None:
            step[name] = orjson.loads(row[name])
    call = None
    if row["call"] is not None:
        call = {**orjson.loads(row["call"]), "prompt": orjson.loads(row["prompt"])}
        if call["tokens"] is not None:
            call["tokens"] |= {name: row[name] for name in _IDS}
    whole: Step = step  # type: ignore[assignment]
    said: Call | None = call  # type: ignore[assignment]
    return StepRecord(run_id=row["run_id"], step=whole, at=row["at"], call=said)


def as_text(value: Any) -> str:
    """JSON as text."""
    return as_json(value).decode()


def _without_ids(call: Call) -> dict[str, Any]:
    rest: dict[str, Any] = {key: value for key, value in call.items() if key != "prompt"}
    if call["tokens"] is not None:
        rest["tokens"] = {key: value for key, value in call["tokens"].items() if key not in _IDS}
    return rest
