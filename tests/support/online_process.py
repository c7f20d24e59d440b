"""What one process trains by step-grpo, alone or as one of several; see `ranks`.

Replies are drawn by the prompt alone, and worth something whatever they say, so that one process and two see the same.
"""

from __future__ import annotations

import json
import os
import random
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from router_graph.trajectories.reader import read_runs
from router_training.trainers.online_config import OnlineConfig
from router_training.trainers.online_states import State
from router_training.trainers.step_grpo import train_step_grpo
from router_training.world.learning import SPOKEN, tokenizer_of
from router_training.world.model import small_model
from router_training.world.world import World

STEPPED = {
    "use_cpu": True,
    "learning_rate": 0.5,
    "optim": "sgd",
    "max_grad_norm": 0.0,
    "lr_scheduler_type": "constant",
}
"""Plain steps, in which a difference of the gradient is a difference of the weights."""
SAMPLES = 2


def scripted(model: Any) -> Any:
    """The model, whose replies are drawn by the prompt and by how often it stands in the batch."""

    def generate(input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> torch.Tensor:
        times: Counter[tuple[int, ...]] = Counter()
        replies = []
        for ids, seen in zip(input_ids.tolist(), attention_mask.tolist(), strict=True):
            prompt = tuple(token for token, is_seen in zip(ids, seen, strict=True) if is_seen)
            times[prompt] += 1
            dice = random.Random(f"{prompt}{times[prompt]}")
            reply = [dice.randrange(10, model.config.vocab_size) for _ in range(dice.randint(1, 4))]
            replies.append([*reply, *[model.config.eos_token_id] * (6 - len(reply))])
        return torch.cat([input_ids, torch.tensor(replies)], dim=1)

    model.generate = generate
    return model


class Counting:
    """Counts the replies to each state."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def __call__(self, state: State, reply: str) -> float:
        self.asked[f"{state.run.question_id}/{state.number}"] += 1
        return float(zlib.crc32(f"{state.run.question} {reply}".encode()) % 5)


def train(folder: Path, log: Path, groups: int) -> Path:
    """Three updates in the states of a log, the first half of which is recorded anew after the first."""
    runs = list(read_runs(log))
    tokenizer = tokenizer_of(World(), runs)
    config = OnlineConfig(
        updates=3,
        samples=SAMPLES,
        groups=groups,
        refresh_every=1,
        longest_reply=6,
        policy=SPOKEN,
        threads=1,
        trl=STEPPED,
    )
    judge, collected = Counting(), []

    def collect(policy: Path, number: int) -> Any:
        collected.append(number)
        return runs[: len(runs) // 2] if number == 1 else runs

    made = train_step_grpo(
        runs, judge, config, scripted(small_model(tokenizer, width=16, layers=1)), tokenizer, folder, collect=collect
    )
    told = {"asked": judge.asked, "collected": collected}
    (folder / f"process-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(told))
    return made
