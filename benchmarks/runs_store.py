"""How fast a log of runs is written, read, compacted, and read as columns.

    python benchmarks/runs_store.py [--steps N]

A step's line is 12 KB of JSON: a prompt, its token ids with log-probs, and the decision. Each figure is the median of
blocks with a 95 % bootstrap interval; the limits are those of one process on one core.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from router_graph.trajectories.compact import compact
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.reader import read_lines, read_runs
from router_graph.trajectories.records import Line
from router_graph.trajectories.redact import Secrets
from router_graph.trajectories.shards import encode
from router_graph.trajectories.steps import read_step_batches
from router_graph.trajectories.writer import RunWriter

SEED = 0
BLOCKS = 15
STEPS_A_RUN = 4
WORDS = "the capital of a river that won an award in a year with its author and no other film".split()
TRAINED_ON = [
    "run_id",
    "question_id",
    "number",
    "propensity",
    "targets",
    "usd",
    "prompt_ids",
    "completion_ids",
    "logprobs",
]
"""The columns that a trainer reads."""


def run_lines(number: int, chance: random.Random) -> list[Line]:
    """A run of four steps, each line of a step with 12 KB."""
    run, at = f"{number:032x}", float(number)
    options = [f"kb:{name}" for name in ("books", "tables", "charts")] + ["answer"]
    menu = [{"key": key, "description": text(chance, 30), "modality": "text", "usd": 0.0} for key in options]
    began = {"question": text(chance, 15), "menu": menu, "metadata": {"question_id": f"q{number % 500}"}}
    lines: list[Any] = [{"v": 1, "kind": "began", "run": run, "at": at, **began}]
    for n in range(1, STEPS_A_RUN + 1):
        target = "answer" if n == STEPS_A_RUN else chance.choice(options[:-1])
        action = {"kind": "answer", "text": text(chance, 20)} if target == "answer" else None
        action = action or {"kind": "kb", "kb": target[3:], "query": text(chance, 10)}
        logprobs = [-chance.expovariate(3) for _ in range(60)]
        tokens = {
            "prompt_ids": [chance.randrange(150_000) for _ in range(700)],
            "completion_ids": [chance.randrange(150_000) for _ in range(60)],
            "logprobs": logprobs,
            "logprob_kind": "processed",
            "model": "m",
            "tokenizer": "t",
        }
        call = {
            "call_id": f"{run}-{n}",
            "node": "think",
            "is_policy": True,
            "model": "tiny",
            "prompt": [
                {"role": "system", "content": text(chance, 350)},
                {"role": "human", "content": text(chance, 660)},
            ],
            "reply": text(chance, 45),
            "tool_calls": [],
            "input_tokens": 700,
            "output_tokens": 60,
            "seconds": 0.05,
            "error": "",
            "sampling": {"temperature": 1.0},
            "tokens": tokens,
        }
        decision = {
            "policy": "tiny",
            "version": "1",
            "protocol": "tags",
            "probabilities": dict.fromkeys(options, 0.25),
            "propensity": 0.25,
            "masked": {},
            "left": {"steps": 6 - n, "usd": 0.01, "tokens": None, "seconds": None},
            "forced": None,
            "problem": "",
            "replay_id": run[:24],
            "served": "tiny",
            "usd": 0.0001,
            "tokens": 760,
            "seconds": 0.05,
        }
        step = {"id": f"{run}/{n}", "number": n, "thought": text(chance, 30), "reply": call["reply"]}
        step |= {"actions": [action], "decision": decision, "observations": {}}
        lines.append(
            {"v": 1, "kind": "decided", "run": run, "at": at + n / 10, "number": n, "step": step, "call": call}
        )
        if target != "answer":
            hits = [
                {"kb": target[3:], "doc_id": str(i), "title": text(chance, 3), "text": text(chance, 60), "score": 0.5}
                | {"metadata": {}}
                for i in range(5)
            ]
            seen = {
                "status": "ok",
                "text": "",
                "hits": hits,
                "served": target,
                "usd": 0.0,
                "tokens": 0,
                "seconds": 0.01,
            }
            place = {"number": n, "position": 0, "observation": seen}
            lines.append({"v": 1, "kind": "observed", "run": run, "at": at + n / 10 + 0.05, **place})
    last = {"answer": text(chance, 20), "citations": [], "stop_reason": "answered", "usd": 0.0004, "tokens": 3040}
    lines.append({"v": 1, "kind": "ended", "run": run, "at": at + 1, **last})
    return lines


def text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(WORDS, k=words))


def interval(values: list[float]) -> tuple[float, float]:
    """A 95 % bootstrap interval of the median."""
    chance = random.Random(SEED)
    drawn = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(500))
    return drawn[12], drawn[487]


def rate(what: str, blocks: list[tuple[int, float]], unit: str, at_least: float | None = None) -> None:
    """Print things a second, of blocks of (things, seconds)."""
    values = [things / seconds for things, seconds in blocks]
    low, high = interval(values)
    held = "" if at_least is None else f", of {at_least:,.0f}: {'held' if low >= at_least else 'MISSED'}"
    print(f"  {what}: {statistics.median(values):,.0f} {unit} [{low:,.0f}, {high:,.0f}], n = {len(values)}{held}")


def timed(work: Callable[[], int], times: int = BLOCKS) -> list[tuple[int, float]]:
    """What it did, and how long that took, after one time to warm up."""
    blocks = []
    for n in range(-1, times):
        begun = time.perf_counter()
        things = work()
        if n >= 0:
            blocks.append((things, time.perf_counter() - begun))
    return blocks


def count(items: Iterator[Any]) -> int:
    return sum(1 for _ in items)


def writing(root: Path, lines: list[Line]) -> None:
    steps = [one for one in lines if one["kind"] == "decided"]
    size = statistics.median(len(encode(one)) for one in steps)
    print(f"Writing: {len(steps)} lines of steps in a block, {size / 1000:.1f} KB each, one process")
    kinds: list[tuple[str, dict[str, Any], list[Line]]] = [
        ('sync="never"', {"sync": "never"}, steps),
        ('sync="run", all kinds of lines', {}, lines),
        ("with Secrets()", {"sync": "never", "redact": Secrets()}, steps),
    ]
    for name, options, chosen in kinds:
        with RunWriter(root / "written", **options) as writer:
            blocks = timed(lambda writer=writer, chosen=chosen: sum(map(writer.write, chosen)))  # type: ignore[misc]
        rate(name, blocks, "lines/s", 2_000 if name == kinds[0][0] else None)
    bare = timed(lambda: sum(1 for one in steps if orjson.dumps(one)))
    rate("orjson alone", bare, "lines/s")


def reading(root: Path, steps: int) -> None:
    chance = random.Random(SEED)
    pool = [run_lines(n, chance) for n in range(200)]
    with RunWriter(root / "log", sync="never") as writer:
        for number in range(steps // STEPS_A_RUN):
            run = f"{number:032x}"
            for line in pool[number % len(pool)]:
                writer.write({**line, "run": run, "at": number + line["at"] % 1})
    report = LogReport()
    for _ in read_lines(root / "log", report=report):
        pass
    print(f"Reading: {steps:,} steps in {report.bytes / 1e6:,.0f} MB of shards")
    rate("lines of shards", timed(lambda: count(read_lines(root / "log")), 3), "lines/s")
    rate("runs of shards, as records", timed(lambda: STEPS_A_RUN * count(read_runs(root / "log")), 3), "steps/s")
    begun = time.perf_counter()
    compact(root / "log", root / "parquet")
    took = time.perf_counter() - begun
    size = sum(one.stat().st_size for one in (root / "parquet").iterdir())
    print(f"  compacted in {took:.1f} s, {steps / took:,.0f} steps/s, to {size / 1e6:,.0f} MB")
    begun = time.perf_counter()
    compact(root / "log", root / "parquet")
    print(f"  compacted again, with nothing to do: {time.perf_counter() - begun:.2f} s")

    def columns(names: list[str] | None) -> Callable[[], int]:
        return lambda: sum(batch.num_rows for batch in read_step_batches(root / "parquet", names))

    rate(f"parquet, {len(TRAINED_ON)} columns with all tokens", timed(columns(TRAINED_ON)), "steps/s", 50_000)
    rate("parquet, 3 columns", timed(columns(["number", "propensity", "targets"])), "steps/s", 50_000)
    rate("parquet, every column", timed(columns(None), 5), "steps/s")
    rate("runs of parquet, as records", timed(lambda: STEPS_A_RUN * count(read_runs(root / "parquet")), 3), "steps/s")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--steps", type=int, default=20_000, help="in the log that is read (default: %(default)s)")
    steps = options.parse_args().steps
    versions = ", ".join(f"{one} {version(one)}" for one in ("polyroute", "orjson", "pyarrow"))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores; {versions}")
    chance = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        writing(Path(folder), [line for n in range(100) for line in run_lines(n, chance)])
        reading(Path(folder), steps)


if __name__ == "__main__":
    sys.exit(main())
