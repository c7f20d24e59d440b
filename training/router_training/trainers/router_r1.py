"""Router-R1 (arXiv 2506.09033): whole episodes through the real graph, each paid by how it ended and what it cost.

The policy decides whom to ask, reads what came of it, and asks on, until it answers. Each question is run several times
with the weights as they are; the runs are compared with each other (GRPO, arXiv 2402.03300, where the paper's code has
PPO); and what the policy itself wrote is trained, token by token as it was sampled.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mote_backend.chat.context import context_of
from router_graph.protocols import protocol_named
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_training.credit.advantages import Convention
from router_training.data.rendering import Rendering
from router_training.data.samples import Left
from router_training.errors import DataError
from router_training.rewards.gold import Questions
from router_training.rewards.scoring import lacks
from router_training.trainers import loading, saving
from router_training.trainers.environment import quieten
from router_training.trainers.episode_config import EpisodeConfig, episode_arguments
from router_training.trainers.episode_credit import Rewards
from router_training.trainers.episode_play import Graphs, Player
from router_training.trainers.episode_sampling import Episodes
from router_training.trainers.episode_trainer import EpisodeTrainer

_OF_ROWS = ("reward", "rewards/", "frac_reward", "completions/", "sampling/")
"""Figures of TRL's that count rows as if they were samples."""


def train_router_r1(
    runs: Iterable[RunRecord],
    rewards: Rewards,
    config: EpisodeConfig,
    model: Any,
    tokenizer: Any,
    folder: str | Path,
    *,
    graphs: Graphs,
    questions: Questions | None = None,
    about: dict[str, Any] | None = None,
    callbacks: Sequence[Any] = (),
) -> Path:
    """Train on the questions of these runs, and save the policy in `folder`, which is returned.

    `model` is a causal model of transformers, which is changed, or the folder of one. On several processes each has a
    whole model, and runs whole groups. Raises `DataError` for questions that cannot be learned from and where no group
    of the first updates has spread, `ConfigError` for settings that do not go together, and `TokensError` where the
    model that is trained would not have said what was sampled.
    """
    quieten(config.threads)
    folder, known, left = Path(folder), questions or Questions(), Left()
    saving.check_room(folder)
    rewards.check(config)
    args = episode_arguments(config, folder / "checkpoints")
    model, tokenizer = loading.load(model, tokenizer, _as_any(config))
    rendering = Rendering(tokenizer, protocol_named(config.policy.protocol), thinks=config.policy.thinks)
    asked = questions_of(runs, rewards, known, rendering, config, left=left, context=context_of(model))
    with Player(graphs, config) as player:
        episodes = Episodes(asked, rewards, known, config, player, Convention(args.scale_rewards))
        trainer = EpisodeTrainer(
            model=model,
            sample=episodes,
            args=args,
            train_dataset=_dataset(list(asked), args, config),
            processing_class=tokenizer,
            peft_config=loading.adapter(config.lora, model),
            callbacks=list(callbacks),
        )
        loading.own_progress(trainer)
        outcome = trainer.train()
    made = saving.Made(
        method="router-r1",
        config=_as_any(config),
        data=_fingerprint(asked),
        questions="",
        samples=episodes.count,
        left=str(left),
        figures={
            "updates": float(outcome.global_step),
            "seconds": float(outcome.metrics["train_runtime"]),
            "groups_without_spread": float(episodes.flat),
            "groups": float(episodes.groups),
        },
        history=[
            {key: one for key, one in entry.items() if not key.startswith(_OF_ROWS)} for entry in _history(trainer)
        ],
        about=about or {},
    )
    return saving.save_policy(trainer, tokenizer, folder, made)


def questions_of(
    runs: Iterable[RunRecord],
    rewards: Rewards,
    known: Questions,
    rendering: Rendering,
    config: EpisodeConfig,
    *,
    left: Left | None = None,
    context: int | None = None,
) -> dict[str, RunRecord]:
    """One run of each question, by the question's id. What is left out is counted in `left`.

    Raises `DataError` where a question has no right answer, or no needed document and a reward asks for them; where a
    first prompt leaves a model with this context (in tokens) no room to reply; and where no question is left.
    """
    left, found = left or Left(), dict[str, RunRecord]()
    for run in runs:
        if run.is_ours:
            found.setdefault(run.question_id, run)
    missing = [(run, why) for run in found.values() for one in rewards.all if (why := lacks(known.of(run), one.needs))]
    if missing:
        run, why = missing[0]
        raise DataError(
            f"{len({one.question_id for one, _ in missing}):,} of {len(found):,} questions have no {why}, the first is "
            f"{run.question_id[:80]!r}; record it with the run, or give a file of questions that has it (--questions)."
        )
    longest = 0
    for name, run in list(found.items()):
        length = len(rendering.prompt(view_at(run, run.steps[0].number))) if run.steps else 0
        if config.most_tokens is not None and length > config.most_tokens:
            left.counts[f"questions longer than {config.most_tokens:,} tokens"] += 1
            del found[name]
        else:
            longest = max(longest, length)
    if context is not None and longest + 1 > context:
        raise DataError(
            f"The first prompt of a question has {longest:,} tokens, and the model takes {context:,} with its reply; "
            "set most_tokens to leave such questions out, or use a model with more context."
        )
    if not found:
        raise DataError(f"There is no question to run ({left} left out); give runs of a routing graph.")
    return found


def _dataset(names: Sequence[str], args: Any, config: EpisodeConfig) -> Any:
    """The questions in an order of their own for each pass, as often as the run needs them."""
    from datasets import Dataset

    dice = random.Random(config.seed)
    needed = (config.updates + 1) * config.groups * args.steps_per_generation * int(os.environ.get("WORLD_SIZE", "1"))
    order: list[str] = []
    while len(order) < needed:
        order += dice.sample(names, len(names))
    return Dataset.from_dict({"prompt": order})


def _history(trainer: Any) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = trainer.state.log_history
    return told


def _fingerprint(asked: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(asked)).encode()).hexdigest()[:16]


def _as_any(config: EpisodeConfig) -> Any:
    return config
