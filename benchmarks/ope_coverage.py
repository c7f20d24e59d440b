"""How often the 95 % intervals of off-policy evaluation hold the truth, and how often it says "cannot tell".

    python benchmarks/ope_coverage.py [--logs 1000] [--worse]

Logs of worlds whose values are known exactly: one, two and three steps an episode, targets near to and far from the
policy that made the log, few and many questions, one run a question and three. Then logs that are worse than they look:
the model of rewards knows nothing of the question ("blind") or something false ("misled"), only the chances of what was
done are known ("chances"), rewards have a long tail ("heavy"), and a log that hardly ever explores ("skewed").
"""

from __future__ import annotations

import argparse
import platform
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from router_training.ope.bandit import Floats
from router_training.ope.estimate import CannotTell, Estimate, evaluate
from router_training.ope.planted import PlantedWorld

SIZES = ((50, 1), (100, 1), (100, 3), (300, 1), (1000, 1))
"""(questions, runs of each)."""
TARGETS = ("same", "near", "middle", "far", "best", "wrong")


ATTACKS = ("blind", "misled", "chances", "heavy", "skewed")


@dataclass(frozen=True)
class Cell:
    steps: int
    target: str
    questions: int
    runs: int
    attack: str = ""

    @property
    def start(self) -> int:
        """Of its seeds."""
        return 1_000_003 * (hash((self.steps, self.questions, self.runs, TARGETS.index(self.target))) % 9973)


def target_policy(world: PlantedWorld, name: str) -> Floats:
    shares = {"same": 0.0, "near": 0.3, "middle": 0.6, "far": 0.95, "best": 1.0}
    return world.wrong() if name == "wrong" else world.toward(shares[name])


def behaviour(world: PlantedWorld, attack: str) -> Floats:
    return 0.8 * world.behaviour(0.0) + 0.2 * world.behaviour() if attack == "skewed" else world.behaviour()


def one_log(cell: Cell, seed: int) -> Estimate | CannotTell:
    world = PlantedWorld(steps=cell.steps)
    logged = world.draw(behaviour(world, cell.attack), cell.questions, seed, runs=cell.runs)
    target = world.target(target_policy(world, cell.target), logged)
    drawn = np.random.default_rng(seed + 1)
    if cell.attack == "blind":
        logged = replace(logged, features=None)
    if cell.attack == "misled":
        logged = replace(logged, features=drawn.permutation(logged.features))
    if cell.attack == "chances":
        logged = replace(logged, behaviour=None)
    if cell.attack == "heavy":  # of mean 1, so that the value of a policy is what it was
        logged = logged.with_reward(logged.reward * drawn.lognormal(-0.5, 1.0, logged.episodes)[logged.episode])
    return evaluate(logged, target, seed=seed)


def measure(cell: Cell, logs: int) -> tuple[Cell, str, int, int, int]:
    """A row of the table; and how many estimates were given, how many hold the truth, and how many that of the gain."""
    world = PlantedWorld(steps=cell.steps)
    truth = world.truth(target_policy(world, cell.target))
    gain = truth - world.truth(behaviour(world, cell.attack))
    results = [one_log(cell, cell.start + n) for n in range(logs)]
    told = [one for one in results if isinstance(one, Estimate)]
    why = Counter(one.rule for one in results if isinstance(one, CannotTell))
    held = [one.value.low <= truth <= one.value.high for one in told]
    gained = [one.gain.low <= gain <= one.gain.high for one in told]
    row = f"{cell.attack:8s} {cell.steps:5d}  {cell.target:7s} {cell.questions:5d} x {cell.runs}  {truth:+.3f}  "
    if told:
        bias = np.mean([one.value.value for one in told]) - truth
        rmse = np.sqrt(np.mean([(one.value.value - truth) ** 2 for one in told]))
        snips = np.sqrt(np.mean([(one.snips.value - truth) ** 2 for one in told]))
        width = np.median([one.value.high - one.value.low for one in told])
        ess = np.mean([one.support.ess for one in told])
        row += f"{100 * np.mean(held):5.1f}%  {100 * np.mean(gained):5.1f}%  {bias:+.4f}  {rmse:.3f}  {snips:.3f}  "
        row += f"{width:.3f}  {100 * ess:3.0f}%  "
    else:
        row += " " * 53
    refused = ", ".join(f"{rule} {100 * count / logs:.0f}%" for rule, count in why.most_common())
    return cell, row + f"{100 * (1 - len(told) / logs):3.0f}%  {refused}", len(told), sum(held), sum(gained)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logs", type=int, default=1000, help="logs of each row")
    parser.add_argument("--steps", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--worse", action="store_true", help="the logs that are worse than they look, and no others")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, numpy {np.__version__}; {options.logs} logs a row; seeds are fixed.")
    print(f"A row's coverage has a standard error of {100 * np.sqrt(0.95 * 0.05 / options.logs):.1f} points.")
    print("log      steps  target  questions    truth  covers   gain    bias    RMSE   SNIPS  width   ESS  refused")
    cells = [Cell(s, t, q, r) for s in options.steps for t in TARGETS for q, r in SIZES]
    worse = [
        Cell(s, t, q, 1, a) for a in ATTACKS for s in (1, 2) for t in ("near", "middle", "far") for q in (100, 300)
    ]
    cells = worse if options.worse else cells
    told = held = gained = outside = clearly = rows = 0
    with ProcessPoolExecutor(options.processes) as pool:
        for _, row, given, ours, gains in pool.map(measure, cells, [options.logs] * len(cells)):
            print(row, flush=True)
            told, held, gained = told + given, held + ours, gained + gains
            if given >= options.logs / 2:
                rows += 1
                beyond = max(0.93 - ours / given, ours / given - 0.97)
                outside += beyond > 0
                clearly += beyond > 2 * np.sqrt(0.95 * 0.05 / given)
    print(
        f"All estimates given: {100 * held / told:.1f}% hold the truth, {100 * gained / told:.1f}% the gain; "
        f"{outside} of {rows} rows that are mostly told are outside 93-97%, {clearly} by more than chance; "
        f"{100 * (1 - told / (options.logs * len(cells))):.0f}% of all logs refused."
    )


if __name__ == "__main__":
    main()
