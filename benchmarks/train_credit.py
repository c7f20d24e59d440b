"""How long the advantages of a million steps take, and the other passes of credit over a log.

    python benchmarks/train_credit.py

Only numpy's own work is in the first table: no run is read. The second is of real runs of a small graph, one at a time.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from router_training.credit.advantages import (
    TRL,
    Convention,
    group_relative,
    leave_one_out,
    mixed,
    normalised_parts,
    of_episodes,
    spread,
)
from router_training.credit.counterfactual import alternatives
from router_training.credit.groups import by_state, group_ids, steps_of
from router_training.credit.relabel import World, relabel
from router_training.credit.searches import Searches
from router_training.rewards.costs import scales
from router_training.rewards.router_r1 import RouterR1
from router_training.rewards.scoring import score
from router_training.rewards.utility import Closing
from router_training.rewards.verifiable import Verifiable, Weights

STEPS = 1_000_000
GROUP = 8
PER_RUN = 4
REPEATS = 5
LIMIT_S = 2.0
RUNS = 500
SEED = 0


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def advantages() -> bool:
    """Print the first table; whether the bar holds."""
    random = np.random.default_rng(SEED)
    groups = random.permutation(np.repeat(np.arange(STEPS // GROUP), GROUP))  # of a log, not in a row
    rewards = np.where(random.random(STEPS) < 0.3, 1.0, random.normal(size=STEPS).round(2))
    parts = np.column_stack([rewards, random.random(STEPS), random.random(STEPS) < 0.1])
    runs = STEPS // PER_RUN
    run_of_step = np.repeat(np.arange(runs), PER_RUN)
    run_rewards, run_groups = random.random(runs), np.arange(runs) // GROUP

    def both() -> None:
        mixed(of_episodes(run_rewards, run_groups, run_of_step), group_relative(rewards, groups))

    names = {
        "group, as TRL": lambda: group_relative(rewards, groups, TRL),
        "batch": lambda: group_relative(rewards, groups, Convention("batch")),
        "leave one out": lambda: leave_one_out(rewards, groups),
        "mixed (episode + step)": both,
        "3 parts, normalised first": lambda: normalised_parts(parts, groups, [1.0, 0.2, 0.1]),
        "groups with spread": lambda: spread(rewards, groups),
    }
    print(f"{STEPS:,} steps in {STEPS // GROUP:,} groups, median of {REPEATS}:")
    took = {name: seconds(work) for name, work in names.items()}
    for name, one in took.items():
        print(f"  {name:<28} {one:6.3f} s")
    worst = max(took.values())
    print(f"  the slowest takes {worst:.2f} s; the bar is {LIMIT_S:.0f} s: {'holds' if worst <= LIMIT_S else 'FAILS'}")
    return worst <= LIMIT_S


def passes() -> None:
    """Print the second table."""
    sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
    from support.routed_runs import GOOD, libraries, run_of

    good = run_of(GOOD)
    runs = [replace(good, run_id=str(number)) for number in range(RUNS)]
    steps = sum(len(run.steps) for run in runs)
    scale = scales(runs)
    shelves = libraries()

    async def explore() -> None:
        async for _ in alternatives(runs, Searches(shelves), Verifiable(scale["step"])):
            pass

    gain = Verifiable(scale["step"], weights=Weights(utility=1.0), value=Closing())
    names = {
        "reward of runs": lambda: list(score(runs, RouterR1(scale["run"]))),
        "reward of steps": lambda: list(score(runs, Verifiable(scale["step"]))),
        "the same, with utility": lambda: list(score(runs, gain)),
        "keys of states": lambda: group_ids(by_state(run, number) for _, run, number in steps_of(runs)),
        "relabelled": lambda: [relabel(run, World(usd=1.0)) for run in runs],
        "every knowledge base asked": lambda: asyncio.run(explore()),
    }
    print(f"\n{RUNS:,} runs of {steps // RUNS} steps, 3 knowledge bases in memory, median of {REPEATS}:")
    for name, work in names.items():
        print(f"  {name:<28} {steps / seconds(work):9,.0f} steps/s")


def main() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"Python {platform.python_version()}, numpy {version('numpy')}, {cores} cores\n")
    holds = advantages()
    passes()
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
