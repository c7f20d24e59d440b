"""A small model learns from a log whom to ask, in some ten seconds on a CPU, and is then judged.

python examples/learn_weights.py

In a little world it is known who has the answer: three knowledge bases, two models that can add, of which one is
dearer, and words that are only to be said. A policy that is right by chance leaves a log of real runs. A model of 0.1 M
random weights learns the best decision of each recorded state (`rft`, filtered behaviour cloning), and decides in the
same graph about names that it never saw. It is more often right than the policy that it learned from, for half the
money; and yet the word is `keep`, for ten lines that compare the question with the menu are better, and had nothing to
learn. Weights are worth their trouble where no such rule is known.

The same from the command line, for a log of your own: training/README.md.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import torch

from router_graph.trajectories.records import RunRecord
from router_training.running import Asked, compared, ran
from router_training.trainers.config import OfflineConfig, Rft
from router_training.trainers.offline import train_offline
from router_training.world.learning import SPOKEN, judged, scores_of, tasks_of, tokenizer_of, with_choice
from router_training.world.logs import record
from router_training.world.model import small_model
from router_training.world.poor import Poor
from router_training.world.questions import split
from router_training.world.world import World

WORLD = World(subjects={"atlas": ("moons",), "prices": ("price",), "people": ("birth",)})
PRICES = (0.001, 0.004)
"""USD per call of either model."""


def learn(runs: list[RunRecord], folder: Path, updates: int) -> Path:
    """The policy of the best decisions in the log."""
    tokenizer = tokenizer_of(WORLD, runs)
    scored = judged(runs, tokenizer, scores_of(runs))  # a reward of each step: did it help, and what did it cost
    trl = {"max_steps": updates, "per_device_train_batch_size": 16, "learning_rate": 8e-3, "adam_beta2": 0.98}
    trl |= {"lr_scheduler_type": "linear", "warmup_steps": 20, "use_cpu": True}
    config = OfflineConfig(objective=Rft(above=0.2, best_of_state=1), policy=SPOKEN, trl=trl)
    return train_offline(with_choice(scored), config, small_model(tokenizer), tokenizer, folder)


def main(updates: int = 220, learned_from: int = 150, asked_of: int = 60) -> None:
    """Record runs of so many questions, learn for so many updates, compare on so many others."""
    torch.set_num_threads(1)
    known, _, unseen = split(WORLD.questions())
    by_chance, reads_the_menu = Poor(favourite=3.0), Poor(best=1e12)
    with tempfile.TemporaryDirectory() as folder:
        tasks = tasks_of(known, learned_from, seed=0, prices=[PRICES])
        runs = record(WORLD, by_chance, tasks, f"{folder}/runs", times=3)
        print(f"recorded: {len(runs)} runs")
        policy = learn(runs, Path(folder, "policy"), updates)
        asked = [Asked(one.question.text, (one.question.answer,)) for one in tasks_of(unseen, asked_of, seed=1)]
        policies = {"rft": f"local:{policy}", "by chance": by_chance, "reads the menu": reads_the_menu}
        results = {
            name: asyncio.run(ran(WORLD.graph(one, PRICES), asked, metric="em")) for name, one in policies.items()
        }
    found = compared("rft", results)
    print(f"asked: {len(asked)} questions about other names\n\n{'policy':<15} {'right':>15} {'USD a question':>16}")
    for name, share in found.quality.items():
        print(f"{name:<15} {share.value:>5.0%} [{share.low:.0%}, {share.high:.0%}] {found.usd[name]:>14.4f}")
    print(f"\n{found.promotion}.")


if __name__ == "__main__":
    main()
