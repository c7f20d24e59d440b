"""What `router-r1` adds to the policy that it begins with, in a small world whose best routes are known.

    python benchmarks/train_episodes.py [--seeds 0] [--starts imitation rft] [--credit episode] [--updates 100]

Each line, on held-out questions: Router-R1's reward per run with its 95 % interval, and how much more that is than
before, question by question; how many runs chose the best route at every step (Wilson's 95 %); how many answers were
right; and what all runs cost together.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

import numpy as np

from router_graph.trajectories.records import RunRecord
from router_training.ope.bandit import Floats
from router_training.ope.intervals import interval
from router_training.rewards.costs import scales
from router_training.rewards.gold import Questions
from router_training.rewards.router_r1 import RouterR1
from router_training.trainers.episode_config import EpisodeConfig, EpisodeCredit
from router_training.trainers.episode_credit import Rewards
from router_training.trainers.offline import train_offline
from router_training.trainers.router_r1 import train_router_r1
from router_training.world.learning import (
    SPOKEN,
    filtered,
    imitation,
    judged,
    reward_of,
    scores_of,
    tasks_of,
    tokenizer_of,
    with_choice,
)
from router_training.world.logs import Task, chosen, record
from router_training.world.model import small_model
from router_training.world.playing import playing
from router_training.world.poor import Poor
from router_training.world.questions import split
from router_training.world.world import World

WORLD = World(subjects={"atlas": ("moons",), "prices": ("price",), "people": ("birth",)})
PRICES = ((0.001, 0.004), (0.004, 0.001))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--starts", nargs="+", default=["imitation", "rft"], choices=["imitation", "rft"])
    parser.add_argument("--credit", nargs="+", default=["episode"], choices=["episode", "step", "mixed"])
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--questions", type=int, default=120)
    given = parser.parse_args()
    train, _, held = split(WORLD.questions())
    tasks = tasks_of(held, given.questions, seed=1, prices=PRICES)
    print(
        f"{'policy':<38}{'n':>5}{'reward':>8}{'95 %':>16}{'more':>8}{'95 %':>16}{'best':>7}{'95 %':>12}{'right':>7}"
        f"{'USD':>9}"
    )
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            learn = tasks_of(train, 260, seed=seed, prices=PRICES)
            _learn(given, seed, learn, tasks, Path(folder))


def _learn(given: argparse.Namespace, seed: int, learn: Sequence[Task], tasks: Sequence[Task], folder: Path) -> None:
    runs = record(WORLD, Poor(), learn, folder / "log", times=6, seed=1000 * seed)
    tokenizer, reward = tokenizer_of(WORLD, runs), RouterR1(scales(runs)["run"])
    found = judged(runs, tokenizer, scores_of(runs))
    model = small_model(tokenizer, seed=seed)
    starts = {"imitation": train_offline(found, imitation(updates=500, seed=seed), model, tokenizer, folder / "start")}
    if "rft" in given.starts:
        settings = filtered(seed=seed)
        starts["rft"] = train_offline(with_choice(found), settings, starts["imitation"], None, folder / "rft")
    for name in given.starts:
        before = _line(f"{name}, seed {seed}", starts[name], tasks, reward, folder)
        for credit in given.credit:
            began = time.process_time()
            config = EpisodeConfig(
                updates=given.updates,
                longest_reply=16,
                policy=SPOKEN,
                seed=seed,
                credit=EpisodeCredit(by=credit),
                trl={"learning_rate": given.rate, "lr_scheduler_type": "constant", "use_cpu": True},
            )
            rewards = Rewards(reward, None if credit == "episode" else reward_of(runs))
            out = folder / f"{name}-{credit}"
            policy = train_router_r1(runs, rewards, config, starts[name], None, out, graphs=playing(WORLD))
            took = time.process_time() - began
            _line(f"  router-r1, {credit} ({took:.0f} CPU-s)", policy, tasks, reward, folder, before)


def _line(
    name: str, policy: Path, tasks: Sequence[Task], reward: RouterR1, folder: Path, before: Floats | None = None
) -> Floats:
    log = folder / f"log-{policy.name}"
    runs = sorted(record(WORLD, f"local:{policy}", tasks, log), key=lambda run: run.question_id)
    rewards = _rewards(runs, reward)
    mean = interval(rewards)
    more = f"{'':>24}"
    if before is not None:
        gain = interval(rewards - before)
        more = f"{gain.value:>+8.3f}{f'{gain.low:+.3f} {gain.high:+.3f}':>16}"
    told = chosen(WORLD, runs, {task.question.text: task.question for task in tasks})
    low, high = wilson(told.right, told.runs)
    print(
        f"{name:<38}{told.runs:>5}{mean.value:>8.3f}{f'{mean.low:.3f} {mean.high:.3f}':>16}{more}{told.accuracy:>7.2f}"
        f"{f'{low:.2f} {high:.2f}':>12}{told.answered / told.runs:>7.2f}{told.usd:>9.4f}",
        flush=True,
    )
    return rewards


def _rewards(runs: Sequence[RunRecord], reward: RouterR1) -> Floats:
    return np.array([reward.of_run(run, Questions().of(run)).total for run in runs])


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a share."""
    share = right / count
    middle, width = share + z * z / (2 * count), z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - width) / (1 + z * z / count), (middle + width) / (1 + z * z / count)


if __name__ == "__main__":
    main()
