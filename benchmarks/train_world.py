"""What a policy learns from a poor one's log, in a world whose best routes are known.

    python benchmarks/train_world.py [--seeds 0 1] [--methods rft step-grpo] [--questions 90]

Each line: on how many held-out questions every decision of the run was one of the best, with Wilson's 95 % interval;
how many answers were right; and what the runs cost together. Also: the same questions with the two prices exchanged,
and a knowledge base that was not there in training.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

from router_graph.policies.policy import Choice, ChoicePolicy, Policy
from router_graph.protocols import protocol_named
from router_graph.view import View
from router_training.trainers.offline import train_offline
from router_training.trainers.online_config import OnlineConfig
from router_training.trainers.step_grpo import judged_by, train_step_grpo
from router_training.world.learning import (
    SPOKEN,
    Ask,
    filtered,
    imitation,
    judged,
    reward_of,
    scores_of,
    tasks_of,
    tokenizer_of,
    with_choice,
)
from router_training.world.logs import Task, judge, record
from router_training.world.model import small_model
from router_training.world.poor import Poor, action_to
from router_training.world.questions import split
from router_training.world.world import World

LEFT_OUT = "people"


class Constant(ChoicePolicy):
    """Asks one option, and answers."""

    def __init__(self, key: str) -> None:
        self.name, self._key = f"always {key}", key

    def choose(self, view: View) -> Choice:
        """The option, then the answer."""
        key = "answer" if view.steps or view.must_answer else self._key
        return Choice("", (action_to(key, view),))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", default=["rft", "step-grpo"], choices=["rft", "step-grpo"])
    parser.add_argument("--questions", type=int, default=90)
    parser.add_argument("--updates", type=int, default=150, help="of step-grpo")
    given = parser.parse_args()
    world = World()
    train, held = split(world.questions())
    tasks = tasks_of(held, given.questions, seed=1)
    _title()
    _line("random", world, Poor(best=1.0, favourite=1.0), tasks)
    constants = ("kb:atlas", "kb:prices", "kb:people", "llm:one", "llm:two", "answer")
    best = max(constants, key=lambda key: judge(world, Constant(key), tasks).right)
    _line(f"best constant ({best})", world, Constant(best), tasks)
    _line("reads descriptions and prices", world, Poor(best=1e12, favourite=1.0), tasks)
    _line("the policy that logged", world, Poor(), tasks)
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            _learn(world, seed, given.methods, given.updates, tasks_of(train, 300, seed=seed), tasks, Path(folder))
        with tempfile.TemporaryDirectory() as folder:
            _left_out(seed, Path(folder), given.questions)


def _learn(
    world: World,
    seed: int,
    methods: Sequence[str],
    updates: int,
    learn: Sequence[Task],
    tasks: Sequence[Task],
    folder: Path,
) -> None:
    runs = record(world, Poor(), learn, folder / "log", times=8, seed=1000 * seed)
    tokenizer = tokenizer_of(world, runs)
    found = judged(runs, tokenizer, scores_of(runs))
    model = small_model(tokenizer, seed=seed)
    start = train_offline(found, imitation(updates=600, seed=seed), model, tokenizer, folder / "start")
    _line(f"imitation, seed {seed}", world, f"local:{start}", tasks)
    inverted = [Task(one.question, one.prices[::-1]) for one in tasks if one.question.kind == "sum"]
    for name in methods:
        began = time.process_time()
        if name == "rft":
            policy = train_offline(with_choice(found), filtered(updates=300, seed=seed), start, None, folder / name)
        else:
            trl = {"learning_rate": 7e-4, "scale_rewards": "batch", "lr_scheduler_type": "constant", "use_cpu": True}
            config = OnlineConfig(updates=updates, longest_reply=16, policy=SPOKEN, seed=seed, trl=trl)
            judging = judged_by(reward_of(runs), Ask(world), protocol_named(SPOKEN.protocol))
            policy = train_step_grpo(runs, judging, config, start, None, folder / name)
        took = time.process_time() - began
        _line(f"{name}, seed {seed} ({took:.0f} CPU-s)", world, f"local:{policy}", tasks)
        sums = [one for one in tasks if one.question.kind == "sum"]
        _line("  its sums", world, f"local:{policy}", sums)
        _line("  its sums, prices exchanged", world, f"local:{policy}", inverted)
    shuffled = with_choice(judged(runs, tokenizer, scores_of(runs, scrambled=seed)))
    policy = train_offline(shuffled, filtered(updates=300, seed=seed), start, None, folder / "scrambled")
    _line(f"rft of scrambled rewards, seed {seed}", world, f"local:{policy}", tasks)


def _left_out(seed: int, folder: Path, count: int) -> None:
    """Learn where a knowledge base is not, then ask what only it knows where it is."""
    small, whole = World(without=frozenset({LEFT_OUT})), World()
    train, _ = split(small.questions())
    runs = record(small, Poor(), tasks_of(train, 300, seed=seed), folder / "log", times=8, seed=1000 * seed)
    tokenizer = tokenizer_of(whole, runs)
    found = judged(runs, tokenizer, scores_of(runs))
    model = small_model(tokenizer, seed=seed)
    start = train_offline(found, imitation(updates=600, seed=seed), model, tokenizer, folder / "start")
    policy = train_offline(with_choice(found), filtered(updates=300, seed=seed), start, None, folder / "rft")
    asked = [one for one in split(whole.questions())[1] if one.kb == LEFT_OUT]
    tasks = tasks_of(asked, min(count, 3 * len(asked)), seed=1)
    _line(f"rft, {LEFT_OUT} added by its card, seed {seed}", whole, f"local:{policy}", tasks)
    _line("  reads descriptions alone", whole, Poor(best=1e12, favourite=1.0), tasks)


def _title() -> None:
    print(f"{'policy':<44}{'n':>5}{'best routes':>13}{'95 %':>14}{'answers':>9}{'USD':>9}")


def _line(name: str, world: World, policy: Policy | str, tasks: Sequence[Task]) -> None:
    found = judge(world, policy, tasks)
    low, high = wilson(found.right, found.runs)
    print(
        f"{name:<44}{found.runs:>5}{found.accuracy:>13.2f}{f'{low:.2f}-{high:.2f}':>14}"
        f"{found.answered / found.runs:>9.2f}{found.usd:>9.4f}",
        flush=True,
    )


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share = right / count
    middle = share + z * z / (2 * count)
    width = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - width) / (1 + z * z / count), (middle + width) / (1 + z * z / count)


if __name__ == "__main__":
    main()
