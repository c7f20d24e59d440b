"""States recorded anew with the policy as it has become, every so many updates."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from router_graph.policies.local import PolicyCard
from router_training.trainers import online_pages
from router_training.trainers.online_config import OnlineConfig
from router_training.trainers.online_pages import Pages
from router_training.trainers.tokenizing import save_tokenizer

if TYPE_CHECKING:
    from router_training.trainers.step_grpo import Collect


class Refreshing(TrainerCallback):
    """Of several processes the first runs the graph, and all read what it has kept beside the checkpoints: a run that
    goes on from one of them reads it too."""

    def __init__(self, trainer: Any, tokenizer: Any, pages: Pages, config: OnlineConfig, collect: Collect) -> None:
        self._trainer, self._tokenizer, self._pages = trainer, tokenizer, pages
        self._config, self._collect = config, collect

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """An update was made."""
        every, done = self._config.refresh_every, state.global_step
        if every is None or done % every or done >= state.max_steps:
            return
        folder, accelerator = Path(args.output_dir), self._trainer.accelerator
        weights = accelerator.get_state_dict(self._trainer.model_wrapped)
        if accelerator.is_main_process:
            model = accelerator.unwrap_model(self._trainer.model_wrapped)
            with tempfile.TemporaryDirectory() as policy, own_dice(self._config.seed + done):
                save_as(model, weights, self._tokenizer, Path(policy), self._config)
                folder.mkdir(parents=True, exist_ok=True)
                online_pages.keep(folder, done, self._collect(Path(policy), done // every))
        accelerator.wait_for_everyone()
        self._pages.add(online_pages.kept(folder, done), after=done)


@contextmanager
def own_dice(seed: int) -> Iterator[None]:
    """What is drawn within depends on the seed alone, and what is drawn later does not depend on it."""
    before = random.getstate()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)


def save_as(model: Any, weights: Any, tokenizer: Any, folder: Path, config: OnlineConfig) -> None:
    """The policy as it is now, to be run in a graph."""
    spoken = config.policy
    model.save_pretrained(folder, state_dict=weights)
    save_tokenizer(tokenizer, folder)
    PolicyCard(
        name=spoken.name,
        protocol=spoken.protocol,
        thinks=spoken.thinks,
        temperature=config.temperature,
        max_tokens=spoken.max_tokens,
    ).save(folder)
