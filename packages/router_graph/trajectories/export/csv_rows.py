"""For spreadsheets: CSV with a heading, a row a step, in UTF-8.

What a cell of text begins with could make a formula of it; such cells get an apostrophe in front, as spreadsheets do.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from router_graph.actions import action_from_dict
from router_graph.trajectories.records import RunRecord, StepRecord

COLUMNS = (
    "run_id question_id question number at policy version protocol propensity targets queries statuses documents usd"
    " routes_usd tokens routes_tokens seconds routes_seconds forced thought reply problem stop_reason status answer"
).split()
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(runs: Iterable[RunRecord], path: Path, skipped: Counter[str]) -> int:
    """Write the steps; how many."""
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, COLUMNS)
        rows.writeheader()
        for run in runs:
            for one in run.steps:
                rows.writerow({name: _cell(value) for name, value in _row(run, one).items()})
                count += 1
    return count


def _row(run: RunRecord, record: StepRecord) -> dict[str, Any]:
    step, decision = record.step, record.step["decision"]
    actions = [action_from_dict(one) for one in step.get("actions", ())]
    came = [one for _, one in sorted(step.get("observations", {}).items(), key=lambda item: int(item[0]))]
    sums = {f"routes_{name}": sum(one[name] for one in came) for name in ("usd", "tokens", "seconds")}
    return {
        "run_id": run.run_id,
        "question_id": run.question_id,
        "question": run.question,
        "number": record.number,
        "at": record.at,
        **{name: decision[name] for name in ("policy", "version", "protocol", "propensity", "forced", "problem")},
        **{name: decision[name] for name in ("usd", "tokens", "seconds")},
        **sums,
        "targets": "; ".join(one.target for one in actions),
        "queries": "; ".join(query for one in actions if (query := getattr(one, "query", None))),
        "statuses": "; ".join(one["status"] for one in came),
        "documents": "; ".join(f"{hit['kb']}:{hit['doc_id']}" for one in came for hit in one["hits"]),
        "thought": step.get("thought", ""),
        "reply": step.get("reply", ""),
        "stop_reason": run.stop_reason,
        "status": run.status,
        "answer": run.answer,
    }


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
