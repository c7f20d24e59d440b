"""How often the gate says "promote", where it should and where it must not.

    python benchmarks/ope_promotion.py [--logs 1000]

Logs of worlds whose values are known exactly. Of one step: sources of known reward and cost, drawn by a skewed policy.
Of two steps (`PlantedWorld`): two policies that are good at different kinds of questions, and on the whole equal. Where
it must not promote, 5 % is allowed; each of its tests is made at 2.5 %.
"""

from __future__ import annotations

import argparse
import platform
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from router_training.ope.bandit import Floats, Logged, bandit
from router_training.ope.planted import PlantedWorld
from router_training.ope.promotion import Promotion, promotion
from router_training.ope.rules import DEFAULT

MARGIN = 0.5 * DEFAULT.margin
"""In reward: that of a coin, about which these logs are, has a standard deviation of 0.5."""
SOURCES = {
    "handbook": (0.5, 0.01),
    "equal": (0.5, 0.01),
    "worse": (0.5 - 2 * MARGIN, 0.01),
    "worse by the margin, half the cost": (0.5 - MARGIN, 0.005),
    "better by 0.1, twice the cost": (0.6, 0.02),
    "as good, a tenth cheaper": (0.5, 0.009),
    "better by 0.1": (0.6, 0.01),
    "as good, half the cost": (0.5, 0.005),
}
"""What each earns on average, and spends in USD. The candidate always asks one of them, the handbook the first."""
MUST_NOT = tuple(SOURCES)[1:6]
SIZES = (100, 300, 1000, 3000)


@dataclass(frozen=True)
class Cell:
    candidate: str
    questions: int


def one_step(questions: int, seed: int) -> tuple[Logged, dict[str, Floats]]:
    """Two kinds of questions, to which half of the sources are better and half worse; what is drawn depends on them."""
    drawn = np.random.default_rng(seed)
    kind = drawn.integers(0, 2, questions)
    number = np.arange(len(SOURCES))
    favoured = (number + kind[:, None]) % 2 == 0
    behaviour = np.where(favoured, 2.0, 1.0)
    behaviour /= behaviour.sum(axis=1, keepdims=True)
    action = np.minimum((behaviour.cumsum(axis=1) < drawn.random((questions, 1))).sum(axis=1), len(SOURCES) - 1)
    right, usd = np.array(list(SOURCES.values())).T
    chance = right[action] + np.where(favoured[np.arange(questions), action], 0.2, -0.2)
    logged = bandit(
        tuple(SOURCES),
        action,
        behaviour[np.arange(questions), action],
        drawn.random(questions) < chance,
        behaviour=behaviour,
        features=np.eye(2)[kind],
        cost=usd[action] * drawn.uniform(0.5, 1.5, questions),
    )
    return logged, {name: np.tile(np.eye(len(SOURCES))[n], (questions, 1)) for n, name in enumerate(SOURCES)}


def two_steps(questions: int, seed: int) -> tuple[Logged, dict[str, Floats]]:
    """The candidate knows the first source, the handbook the second; both cost and find the same."""
    world = PlantedWorld(steps=2)
    logged = world.draw(world.behaviour(), questions, seed)
    known = {}
    for name, at_home in (("two steps, equal", 0), ("handbook", 1)):
        policy = world.toward(0.4)
        policy[:, at_home::3] = world.toward(0.7)[:, at_home::3]
        known[name] = world.target(policy, logged)
    return logged, known


def judged(cell: Cell, seed: int) -> Promotion:
    logged, policies = (two_steps if cell.candidate.startswith("two") else one_step)(cell.questions, seed)
    return promotion(logged, policies[cell.candidate], {"handbook": policies["handbook"]}, seed=seed)


def measure(cell: Cell, logs: int) -> tuple[Cell, Counter[str]]:
    return cell, Counter(judged(cell, 7919 * cell.questions + seed).word for seed in range(logs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logs", type=int, default=1000, help="logs of each row")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--questions", type=int, nargs="*", default=SIZES)
    parser.add_argument("--only", default="", help="candidates with this in their name")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, numpy {np.__version__}; {options.logs} logs a row; seeds are fixed.")
    must_not = (*MUST_NOT, "two steps, equal")
    names = [name for name in (*must_not, *tuple(SOURCES)[6:]) if options.only in name]
    cells = [Cell(name, size) for name in names for size in options.questions]
    print(f"{'candidate':36s} questions  promote  keep  cannot tell")
    worst = 0.0
    with ProcessPoolExecutor(options.processes) as pool:
        for cell, words in pool.map(measure, cells, [options.logs] * len(cells)):
            shares = [100 * words[word] / options.logs for word in ("promote", "keep", "cannot tell")]
            allowed = "" if cell.candidate not in must_not else "  must not"
            told = f"{shares[0]:6.1f}%  {shares[1]:3.0f}%  {shares[2]:10.0f}%"
            print(f"{cell.candidate:36s} {cell.questions:9d}  {told}{allowed}", flush=True)
            worst = max(worst, shares[0]) if allowed else worst
    error = 100 * np.sqrt(0.025 * 0.975 / options.logs)
    print(f"Promoted where it must not, at most: {worst:.1f}% of a row's logs (standard error {error:.1f} at 2.5%).")


if __name__ == "__main__":
    main()
