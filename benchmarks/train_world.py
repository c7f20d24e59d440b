"""What a policy learns from a poor one's log, in a world whose best routes are known.

    python benchmarks/train_world.py [--seeds 0 1 2] [--methods rft scrambled step-grpo left-out] [--keep FOLDER]

For each policy: on how many questions every decision of the run was one of the best, how many answers were right, and
what a run cost. The questions are of a side that no setting was chosen by (`--side tune` has those by which they were),
other ones for each seed, as are the log and the model. Then the same for the questions of one knowledge base, that was
there in training or not. `--keep` keeps rows and models; the command then goes on where it was.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from world_left_out import LEFT_OUT, left_out, of_it, recorded
from world_rows import Rows

from router_graph.policies.learned import fit_handbook, fit_knn
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.protocols import protocol_named
from router_graph.trajectories.records import RunRecord
from router_graph.view import View
from router_training.quality import qualities
from router_training.trainers.offline import train_offline
from router_training.trainers.step_grpo import judged_by, train_step_grpo
from router_training.world.learning import (
    SPOKEN,
    Ask,
    filtered,
    imitation,
    judged,
    one_of_each,
    reward_of,
    scores_of,
    tasks_of,
    tokenizer_of,
    tried_again,
    with_choice,
)
from router_training.world.logs import Task
from router_training.world.model import small_model
from router_training.world.poor import Poor, action_to
from router_training.world.questions import split
from router_training.world.world import World

METHODS = ("rft", "scrambled", "step-grpo", "left-out")
USD_WEIGHT = 150.0
"""What a dollar is worth to the policies without weights: as much as to the reward, 0.6 for the dearest call."""


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
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--side", default="test", choices=["tune", "test"])
    parser.add_argument("--questions", type=int, default=120, help="of each seed")
    parser.add_argument("--updates", type=int, default=300, help="of step-grpo")
    parser.add_argument("--keep", help="a folder for rows, logs and models, to go on from")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _all(given, Path(given.keep or folder))


def _all(given: argparse.Namespace, folder: Path) -> None:
    world, rows = World(), Rows(folder / "rows.jsonl")
    sides = split(world.questions())
    for seed in given.seeds:
        here = folder / f"seed-{seed}"
        tasks = tasks_of(sides.tune if given.side == "tune" else sides.test, given.questions, seed=1000 + seed)
        runs = recorded(world, tasks_of(sides.learn, 300, seed=seed), here / "log", seed)
        _without_weights(world, seed, runs, tasks, rows)
        methods = [name for name in given.methods if name != "left-out" and not rows.has(name, seed)]
        if methods:
            _learned(world, seed, methods, given.updates, runs, tasks, rows, here)
        if "left-out" in given.methods:
            left_out(seed, tasks, rows, here / "left-out")
    print(rows.table())


def _without_weights(world: World, seed: int, runs: Sequence[RunRecord], tasks: Sequence[Task], rows: Rows) -> None:
    rows.add("random", seed, world, Poor(best=1.0, favourite=1.0), tasks)
    rows.add("always kb:atlas, as the log mostly does", seed, world, Constant("kb:atlas"), tasks)
    rows.add("always llm:one", seed, world, Constant("llm:one"), tasks)
    rows.add("heuristic", seed, world, "heuristic", tasks)
    rows.add("reads the menu: descriptions and prices", seed, world, Poor(best=1e12, favourite=1.0), tasks)
    rows.add("the policy that logged", seed, world, Poor(), tasks)
    right = qualities(runs)
    rows.add("handbook", seed, world, fit_handbook(runs, right, usd_weight=USD_WEIGHT), tasks)
    rows.add("knn", seed, world, fit_knn(runs, right, usd_weight=USD_WEIGHT), tasks)


def _learned(
    world: World,
    seed: int,
    methods: Sequence[str],
    updates: int,
    runs: Sequence[RunRecord],
    tasks: Sequence[Task],
    rows: Rows,
    folder: Path,
) -> None:
    tokenizer = tokenizer_of(world, runs)
    found = judged(runs, tokenizer, scores_of(runs))
    start = folder / "start"
    if not start.exists():
        model = small_model(tokenizer, seed=seed)
        train_offline(found, imitation(updates=600, seed=seed), model, tokenizer, start)
    rows.add("imitates it (the start of those below)", seed, world, f"local:{start}", tasks)
    for name in methods:
        began = time.process_time()
        if name == "step-grpo":
            judging = judged_by(reward_of(runs), Ask(world), protocol_named(SPOKEN.protocol))
            config = tried_again(updates=updates, seed=seed)
            policy = train_step_grpo(one_of_each(runs), judging, config, start, None, folder / name)
        else:
            of = found if name == "rft" else judged(runs, tokenizer, scores_of(runs, scrambled=seed))
            policy = train_offline(with_choice(of), filtered(updates=300, seed=seed), start, None, folder / name)
        rows.add(name, seed, world, f"local:{policy}", tasks, cpu_seconds=round(time.process_time() - began))
        if name != "scrambled":
            sums = [one for one in tasks if one.question.kind == "sum"]
            exchanged = [Task(one.question, one.prices[::-1]) for one in sums]
            rows.add(f"{name}, sums alone", seed, world, f"local:{policy}", sums)
            rows.add(f"{name}, sums alone, prices exchanged", seed, world, f"local:{policy}", exchanged)
            rows.add(f"{LEFT_OUT}: {name}, it was there", seed, world, f"local:{policy}", of_it(tasks))


if __name__ == "__main__":
    main()
