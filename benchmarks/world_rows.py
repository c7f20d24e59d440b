"""Rows of a table on how well policies chose in the world, kept so that a long command can go on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from router_graph.policies.policy import Policy
from router_training.world.logs import Task, judge
from router_training.world.world import World


class Rows:
    """What was measured, by policy and seed: printed as it comes, and kept in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        known = path.read_text().splitlines() if path.exists() else []
        self._rows: list[dict[str, Any]] = [json.loads(line) for line in known]

    def has(self, name: str, seed: int) -> bool:
        """Whether it was measured before."""
        return any(row["policy"] == name and row["seed"] == seed for row in self._rows)

    def add(
        self, name: str, seed: int, world: World, policy: Policy | str, tasks: Sequence[Task], **more: float
    ) -> None:
        """Run each task once, unless that was done before."""
        if self.has(name, seed):
            return
        found = judge(world, policy, tasks, seed=seed)
        row = {"policy": name, "seed": seed, "n": found.runs, "right": found.right, "answered": found.answered}
        self._rows.append({**row, "usd": found.usd, **more})
        low, high = wilson(found.right, found.runs)
        print(
            f"seed {seed}  {name:<46}{found.runs:>5}{found.accuracy:>8.3f} [{low:.3f}, {high:.3f}]  {more}", flush=True
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(self._rows[-1]) + "\n")

    def table(self) -> str:
        """A line for each policy: the mean over its seeds, each of them, and an interval that holds Wilson's 95 %
        interval of every seed."""
        names = dict.fromkeys(row["policy"] for row in self._rows)
        return "\n".join(
            [_TITLE, *(_line(name, [row for row in self._rows if row["policy"] == name]) for name in names)]
        )


_TITLE = "| policy | best routes | of each seed | answers right | USD a question | n |\n|---|---|---|---|---|---|"


def _line(name: str, rows: Sequence[dict[str, Any]]) -> str:
    n = sum(row["n"] for row in rows)
    ends = [wilson(row["right"], row["n"]) for row in rows]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    each = ", ".join(f"{100 * row['right'] / row['n']:.0f}" for row in sorted(rows, key=lambda row: row["seed"]))
    right, answered = (100 * sum(row[what] for row in rows) / n for what in ("right", "answered"))
    usd = sum(row["usd"] for row in rows) / n
    span = f"{right:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    return f"| {name} | {span} | {each} | {answered:.0f} % | {usd:.4f} | {len(rows)} x {n // len(rows)} |"


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share = right / count
    middle = share + z * z / (2 * count)
    width = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    low, high = (middle - width) / (1 + z * z / count), (middle + width) / (1 + z * z / count)
    return max(0.0, low), min(1.0, high)
