"""A knowledge base that was not there in training, and is added by its card: who asks it?"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from pathlib import Path

from world_rows import Rows

from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.records import RunRecord
from router_graph.view import View
from router_training.trainers.offline import train_offline
from router_training.world.learning import (
    filtered,
    imitation,
    judged,
    scores_of,
    tasks_of,
    tokenizer_of,
    with_choice,
)
from router_training.world.logs import Task, record
from router_training.world.model import small_model
from router_training.world.poor import Poor, action_to
from router_training.world.questions import split
from router_training.world.world import World

LEFT_OUT = "people"
_TIMES = 8


class ByDescription(ChoicePolicy):
    """Knows nothing but the cards: asks the source, knowledge base or model, whose name and description have the
    highest cosine of word counts with the question, the first of equals; then answers."""

    name = "by description"

    def choose(self, view: View) -> Choice:
        """The source that is described most alike, then the answer."""
        sources = [option for option in view.legal if option["key"] != "answer"]
        if view.steps or not sources:
            return Choice("", (action_to("answer", view),))
        best = max(sources, key=lambda one: _cosine(view.question, f"{one['key']} {one['description']}"))
        return Choice("", (action_to(best["key"], view),))


def _cosine(one: str, other: str) -> float:
    left, right = Counter(one.split()), Counter(other.split())
    norm = math.hypot(*left.values()) * math.hypot(*right.values())
    return sum(count * right[word] for word, count in left.items()) / norm if norm else 0.0


def of_it(tasks: list[Task]) -> list[Task]:
    """The questions that only the left-out knowledge base has."""
    return [one for one in tasks if one.question.kb == LEFT_OUT]


def recorded(world: World, tasks: list[Task], folder: Path, seed: int) -> list[RunRecord]:
    """Each task eight times by the poor policy; what was recorded before is read, if it is whole."""
    runs = list(read_runs(folder)) if folder.exists() else []
    if len(runs) == _TIMES * len(tasks):
        return runs
    shutil.rmtree(folder, ignore_errors=True)
    return record(world, Poor(), tasks, folder, times=_TIMES, seed=10_000 * seed)


def left_out(seed: int, tasks: list[Task], rows: Rows, folder: Path) -> None:
    """Learn where a knowledge base is not, then ask what only it knows where it is."""
    small, whole, asked = World(without=frozenset({LEFT_OUT})), World(), of_it(tasks)
    rows.add(f"{LEFT_OUT}: random", seed, whole, Poor(best=1.0, favourite=1.0), asked)
    rows.add(f"{LEFT_OUT}: by description alone", seed, whole, ByDescription(), asked)
    name = f"{LEFT_OUT}: rft, it was not there"
    if rows.has(name, seed):
        return
    runs = recorded(small, tasks_of(split(small.questions()).learn, 300, seed=seed), folder / "log", seed)
    tokenizer = tokenizer_of(whole, runs)
    found = judged(runs, tokenizer, scores_of(runs))
    model = small_model(tokenizer, seed=seed)
    start = train_offline(found, imitation(updates=600, seed=seed), model, tokenizer, folder / "start")
    policy = train_offline(with_choice(found), filtered(updates=300, seed=seed), start, None, folder / "rft")
    rows.add(name, seed, whole, f"local:{policy}", asked)
    others = [one for one in tasks if one.question.kb != LEFT_OUT]
    rows.add(f"{LEFT_OUT}: rft, it was not there; all other questions", seed, whole, f"local:{policy}", others)
