"""For verl: parquet, a row a step, with the fields of its `AgentLoopOutput`: `prompt_ids`, `response_ids`,
`response_mask`, `response_logprobs`, `reward_score`, `num_turns`.

Only steps whose tokens the sampler told. `response_mask` is 1 throughout: what a step's reply holds, the policy said.
`reward_score` is null: rewards are a later pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from router_graph.trajectories.parquet import pyarrow, schema_of
from router_graph.trajectories.records import RunRecord

COLUMNS: dict[str, str] = {
    "prompt_ids": "list<int32>",
    "response_ids": "list<int32>",
    "response_mask": "list<int32>",
    "response_logprobs": "list<double>",
    "reward_score": "double",
    "num_turns": "int32",
    "logprob_kind": "string",
    "run_id": "string",
    "question_id": "string",
    "number": "int32",
    "policy": "string",
    "version": "string",
    "propensity": "double",
}
_ROWS = 1_000


def write_verl(runs: Iterable[RunRecord], path: Path, skipped: Counter[str]) -> int:
    """Write the steps; how many. Raises `MissingExtraError` without pyarrow."""
    pa, pq = pyarrow()
    rows, count = _rows(runs, skipped), 0
    with pq.ParquetWriter(path, schema_of(COLUMNS), compression="zstd") as file:
        while batch := list(islice(rows, _ROWS)):
            file.write_table(pa.Table.from_pylist(batch, schema=schema_of(COLUMNS)))
            count += len(batch)
    return count


def _rows(runs: Iterable[RunRecord], skipped: Counter[str]) -> Iterator[dict[str, Any]]:
    for run in runs:
        for one in run.steps:
            tokens = one.call["tokens"] if one.call is not None else None
            if tokens is None:
                skipped["the log has no tokens of the policy there"] += 1
                continue
            decision = one.step["decision"]
            yield {
                "prompt_ids": tokens["prompt_ids"],
                "response_ids": tokens["completion_ids"],
                "response_mask": [1] * len(tokens["completion_ids"]),
                "response_logprobs": tokens["logprobs"],
                "reward_score": None,
                "num_turns": 2,
                "logprob_kind": tokens["logprob_kind"],
                "run_id": run.run_id,
                "question_id": run.question_id,
                "number": one.number,
                "policy": decision["policy"],
                "version": decision["version"],
                "propensity": decision["propensity"],
            }
