"""For TRL: JSONL, a row a step, in its conversational prompt-completion form, which `SFTTrainer` reads as it is.

`prompt` and `completion` are lists of messages, `tools` is there where tools were offered; all other columns are facts
to filter or weight by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from router_graph.actions import action_from_dict
from router_graph.trajectories.export.said import Unsaid, said_at
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.shards import as_json


def write_trl(runs: Iterable[RunRecord], path: Path, skipped: Counter[str]) -> int:
    """Write the steps; how many."""
    count = 0
    with path.open("wb") as file:
        for run in runs:
            for one in run.steps:
                try:
                    prompt, reply, tools = said_at(run, one)
                except Unsaid as why:
                    skipped[str(why)] += 1
                    continue
                decision = one.step["decision"]
                row = {
                    "prompt": prompt,
                    "completion": [reply],
                    **({"tools": tools} if tools else {}),
                    "run_id": run.run_id,
                    "question_id": run.question_id,
                    "number": one.number,
                    "policy": decision["policy"],
                    "version": decision["version"],
                    "protocol": decision["protocol"],
                    "propensity": decision["propensity"],
                    "targets": [action_from_dict(action).target for action in one.step.get("actions", ())],
                    "usd": decision["usd"],
                    "routes_usd": sum(seen["usd"] for seen in one.step.get("observations", {}).values()),
                    "question": run.question,
                    "answer": run.answer,
                    "stop_reason": run.stop_reason,
                    "status": run.status,
                }
                file.write(as_json(row) + b"\n")
                count += 1
    return count
