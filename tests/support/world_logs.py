"""Logs of the little world, and an untrained model that can write in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from router_graph.protocols import protocol_named
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_training.world.logs import Task, record
from router_training.world.model import small_model
from router_training.world.poor import Poor
from router_training.world.questions import balanced
from router_training.world.tokenizer import word_tokenizer
from router_training.world.world import PHRASES, World

PRICES = (0.001, 0.004)


def world_log(folder: Path, *, questions: int, times: int = 2, seed: int = 1) -> list[RunRecord]:
    """Runs of a policy that draws its routes; it is right by chance alone."""
    world = World()
    tasks = [Task(one, PRICES) for one in balanced(world.questions(), questions, seed=seed)]
    return record(world, Poor(), tasks, folder, times=times)


def base_model(folder: Path, runs: list[RunRecord], **settings: Any) -> Path:
    """A model of random weights with a tokenizer that knows the words of these runs."""
    protocol = protocol_named("brief")
    texts = [
        text
        for run in runs
        for step in run.steps
        for text in (
            *(str(one.content) for one in protocol.messages(view_at(run, step.number))),
            step.step["reply"],
        )
    ]
    tokenizer = word_tokenizer(texts, phrases=PHRASES)
    model = small_model(tokenizer, width=32, layers=1, **settings)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
