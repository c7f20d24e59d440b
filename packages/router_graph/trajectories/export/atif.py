"""For Harbor and whatever else reads ATIF, the Agent Trajectory Interchange Format: a JSON document a run, in a folder.

Version 1.7 (harbor, rfcs/0001-trajectory-format.md): the question is the user's step, each step of ours one of the
agent, with a tool call for each route and its observation; token ids and log-probs are in `metrics`, what ATIF has no
field for in `extra`. A step that was decided without a model says so by `llm_call_count` 0.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from router_graph.actions import Action, Note, RouteToKB, RouteToLLM, action_as_dict, action_from_dict
from router_graph.trajectories.records import Call, RunRecord, StepRecord
from router_graph.trajectories.shards import as_json

if TYPE_CHECKING:  # LangGraph comes with it, which takes long
    from router_graph.state import Observation

VERSION = "ATIF-v1.7"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def write_atif(runs: Iterable[RunRecord], path: Path, skipped: Counter[str]) -> int:
    """Write the runs; how many."""
    path.mkdir()
    count = 0
    for run in runs:
        document = orjson.dumps(orjson.loads(as_json(trajectory(run))), option=orjson.OPT_INDENT_2)
        (path / f"{_file_name(run.run_id)}.json").write_bytes(document + b"\n")
        count += 1
    return count


def trajectory(run: RunRecord) -> dict[str, Any]:
    """The document of a run."""
    steps: list[dict[str, Any]] = []
    if (system := _system(run)) is not None:
        steps.append({"source": "system", "message": system})
    steps.append({"source": "user", "message": run.question, "timestamp": _time(run.at)})
    if run.is_ours:
        steps += [_step(one) for one in run.steps]
    else:
        steps += [_call(one) for one in run.calls]
    calls = [*(one.call for one in run.steps if one.call is not None), *run.calls]
    policies = Counter(one.step["decision"]["policy"] for one in run.steps)
    facts = {"status": run.status, "stop_reason": run.stop_reason, "answer": run.answer, "error": run.error}
    return {
        "schema_version": VERSION,
        "session_id": run.thread_id or run.run_id,
        "trajectory_id": run.run_id,
        "agent": {
            "name": "polyroute" if run.is_ours else "langchain",
            "version": run.software.get("polyroute", "unknown"),
            **_known({"model_name": calls[0]["model"] if calls else None}),
            "extra": {"policies": dict(policies), "software": dict(run.software)},
        },
        "steps": [{"step_id": number, **one} for number, one in enumerate(steps, 1)],
        "final_metrics": {
            "total_prompt_tokens": sum(one["input_tokens"] for one in calls),
            "total_completion_tokens": sum(one["output_tokens"] for one in calls),
            "total_cost_usd": run.usd,
            "total_steps": len(steps),
        },
        "extra": {**facts, "question_id": run.question_id, "metadata": dict(run.metadata), "menu": list(run.menu)},
    }


def _step(record: StepRecord) -> dict[str, Any]:
    step, call, decision = record.step, record.call, record.step["decision"]
    actions = [action_from_dict(one) for one in step.get("actions", ())]
    calls, results = [], []
    for position, action in enumerate(actions):
        if not isinstance(action, RouteToKB | RouteToLLM | Note):
            continue
        name = f"{step['id']}/{position}"
        calls.append({"tool_call_id": name, **_tool_call(action)})
        if (seen := step.get("observations", {}).get(str(position))) is not None:
            results.append({"source_call_id": name, **_result(seen)})
    asked = call is not None
    return {
        "source": "agent",
        "timestamp": _time(record.at),
        "message": step.get("reply", ""),
        "llm_call_count": int(asked),
        **_known(
            {
                "model_name": (call["model"] or None) if call is not None else None,
                "reasoning_content": (step.get("thought") or None) if asked else None,
                "tool_calls": calls or None,
                "observation": {"results": results} if results else None,
                "metrics": _metrics(call, decision["usd"]) if call is not None else None,
            }
        ),
        "extra": {"number": record.number, "thought": step.get("thought", ""), "decision": dict(decision)},
    }


def _call(call: Call) -> dict[str, Any]:
    """A step of a graph of another make: one call of a model."""
    calls = [
        {
            "tool_call_id": str(one.get("id") or n),
            "function_name": str(one.get("name")),
            "arguments": one.get("args") or {},
        }
        for n, one in enumerate(call["tool_calls"])
    ]
    return {
        "source": "agent",
        "message": call["reply"],
        "llm_call_count": 1,
        **_known({"model_name": call["model"] or None, "tool_calls": calls or None}),
        "metrics": _metrics(call, None),
        "extra": {"node": call["node"], "error": call["error"]},
    }


def _tool_call(action: Action) -> dict[str, Any]:
    names = {"kb": "route_to_kb", "llm": "route_to_llm", "note": "note"}
    arguments = {key: value for key, value in action_as_dict(action).items() if key != "kind"}
    return {"function_name": names[action.kind], "arguments": arguments}


def _result(seen: Observation) -> dict[str, Any]:
    texts = [f"[{hit['kb']}:{hit['doc_id']}] {hit['title']}\n{hit['text']}" for hit in seen["hits"]]
    rest = {key: value for key, value in seen.items() if key not in ("text", "hits")}
    documents = [{key: hit[key] for key in ("kb", "doc_id", "score")} for hit in seen["hits"]]
    return {
        "content": "\n\n".join([*([seen["text"]] if seen["text"] else []), *texts]),
        "extra": {**rest, "hits": documents},
    }


def _metrics(call: Call, usd: float | None) -> dict[str, Any]:
    tokens = call["tokens"]
    told: dict[str, Any] = {"prompt_tokens": call["input_tokens"], "completion_tokens": call["output_tokens"]}
    told |= _known({"cost_usd": usd})
    if tokens is not None:
        told |= {"prompt_token_ids": tokens["prompt_ids"], "completion_token_ids": tokens["completion_ids"]}
        told |= _known({"logprobs": tokens["logprobs"]})
    extra = {"seconds": call["seconds"], "sampling": call["sampling"]}
    return {**told, "extra": extra}


def _system(run: RunRecord) -> str | None:
    """The system message of the first call, if it is text."""
    calls = [one.call for one in run.steps if one.call is not None] or list(run.calls)
    first = calls[0]["prompt"][0] if calls and calls[0]["prompt"] else None
    is_text = first is not None and first["role"] == "system" and isinstance(first["content"], str)
    return first["content"] if first is not None and is_text else None


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _file_name(run_id: str) -> str:
    name = _NOT_IN_NAMES.sub("_", run_id)[:100]
    return (
        name
        if name == run_id and not name.startswith(".")
        else f"run-{hashlib.sha256(run_id.encode()).hexdigest()[:32]}"
    )
