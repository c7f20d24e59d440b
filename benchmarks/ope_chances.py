"""What it takes to ask a local policy how likely its options are, in place of having it write its reply.

    python benchmarks/ope_chances.py [--questions 20]

The states are recorded runs of the learning world; the model is a small one of random weights, on the CPU. CPU time of
each way at the same states, in one process, taken in turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mote_backend import ChatTransformers
from router_graph.ledger import Ledger
from router_graph.policies.policy import Means
from router_graph.policies.scored import ScoredPolicy
from router_graph.pool import portal
from router_graph.protocols import protocol_named
from router_graph.trajectories.views import view_at
from router_graph.view import View
from router_training.ope.intervals import interval
from router_training.world.logs import Task, record
from router_training.world.model import small_model
from router_training.world.poor import Poor
from router_training.world.questions import balanced
from router_training.world.tokenizer import word_tokenizer
from router_training.world.world import PHRASES, World


def states(questions: int) -> list[View]:
    """Of recorded runs, different from each other."""
    world = World()
    tasks = [Task(one, (0.001, 0.004)) for one in balanced(world.questions(), questions, seed=1)]
    with TemporaryDirectory() as folder:
        runs = record(world, Poor(), tasks, Path(folder), times=1)
    return [view_at(run, one.number) for run in runs for one in run.steps if one.step["decision"]["forced"] is None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    options = parser.parse_args()
    views, brief = states(options.questions), protocol_named("brief")
    texts = [str(message.content) for view in views for message in brief.messages(view)]
    texts += [opening for view in views for opening in brief.openings(view).values()]
    tokenizer = word_tokenizer(texts, phrases=PHRASES)
    model = small_model(tokenizer, width=options.width, layers=options.layers)

    def policy(most: int) -> ScoredPolicy:
        chat = ChatTransformers(model=(model, tokenizer), max_tokens=most)
        return ScoredPolicy.over(chat, temperature=1.0, thinks=False, max_tokens=most)

    short, whole = policy(1), policy(64)
    ways: dict[str, Callable[[View], Awaitable[object]]] = {
        "chances": lambda view: whole.chances(view, brief, Means(ledger=Ledger())),
        "act, one token": lambda view: short.act(view, brief, Means(ledger=Ledger())),
        "act, up to 64 tokens": lambda view: whole.act(view, brief, Means(ledger=Ledger())),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for at, view in enumerate([*views[:5], *views]):
        for name, way in ways.items():
            started = time.process_time()
            portal.run(way(view))  # type: ignore[arg-type]  # both are coroutines
            if at >= 5:
                spent[name].append(time.process_time() - started)
    base = np.array(spent["chances"])
    print(f"{len(views)} states; {options.layers} layers of width {options.width}; seed 1.")
    for name, seconds in spent.items():
        times = np.array(seconds)
        ratio = interval(times / base.mean())
        print(f"{name:22s} {1000 * np.median(times):7.2f} ms CPU a state, {ratio} times that of `chances`")


if __name__ == "__main__":
    main()
