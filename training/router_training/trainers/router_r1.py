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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object

from mote_backend.chat.context import context_of
from router_graph.protocols import protocol_named
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_training.credit.advantages import Convention
from router_training.data.rendering import Rendering
from router_training.data.samples import Left, Sample
from router_training.errors import DataError
from router_training.rewards.gold import Questions
from router_training.rewards.scoring import lacks
from router_training.trainers import loading, saving
from router_training.trainers.environment import quieten
from router_training.trainers.episode_config import EpisodeConfig, episode_arguments
from router_training.trainers.episode_credit import Rewards, Told, credited, told_of
from router_training.trainers.episode_play import Graphs, Player
from router_training.trainers.episode_rows import Row, calls_of, rows_of
from router_training.trainers.episode_trainer import Batch, EpisodeTrainer
from router_training.trainers.verify import check_logprobs

_FRUITLESS = 5
"""Updates at the beginning in which no group has spread, after which nothing is to be hoped for."""
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
        episodes = _Episodes(asked, rewards, known, config, player, Convention(args.scale_rewards))
        trainer = EpisodeTrainer(
            model=model,
            sample=episodes,
            args=args,
            train_dataset=_dataset(list(asked), args, config),
            processing_class=tokenizer,
            peft_config=loading.adapter(config.lora),
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
            f"{run.question_id[:80]!r}; record it with the run, or give a file of questions that has it."
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


@dataclass
class _Episodes:
    """Samples the episodes of an update, and says what each step was worth."""

    asked: dict[str, RunRecord]
    rewards: Rewards
    known: Questions
    config: EpisodeConfig
    player: Player
    convention: Convention
    groups: int = 0
    flat: int = 0
    """Groups of one, or of one reward, of those that were compared."""
    count: int = 0
    """Episodes, on all processes."""
    _faults: int = 0
    _replies: int = 0
    _before: tuple[int, int] = field(default=(-1, 0))

    def __call__(self, trainer: EpisodeTrainer, names: Sequence[str]) -> Batch:
        """Of these questions, each as often as it is named."""
        rank = trainer.accelerator.process_index
        seeds = self._seeds(trainer.state.global_step, rank * len(names), len(names))
        model = trainer.accelerator.unwrap_model(trainer.model)
        runs = self.player.play(model, trainer.processing_class, [self.asked[name] for name in names], seeds)
        if self.count == 0:
            self._check_sampler(runs, model)
        told = told_of(runs, self.rewards, self.config, self.known)
        everywhere: list[Told] = gather_object([told])
        worth = credited(everywhere, self.config, self.convention)
        start = sum(len(one.numbers) for one in everywhere[:rank])
        of_step = {
            (run, number): float(worth.advantages[start + n])
            for n, (run, number) in enumerate(zip(told.runs, told.numbers, strict=True))
            if worth.is_kept[start + n]
        }
        self._note(everywhere, worth.groups, worth.flat)
        batch = Batch([], [])
        for place, run in enumerate(runs):
            for row in rows_of(run):
                steps = {step: of_step[place, step] for step in row.steps if (place, step) in of_step}
                if steps:
                    batch.rows.append(row)
                    batch.advantages.append(steps)
        batch.figures = _figures(everywhere, worth.flat / max(worth.groups, 1), runs, batch.rows)
        return batch

    def _seeds(self, update: int, first: int, count: int) -> list[int]:
        """Of each episode: others in each sampling of each update, and the same on however many processes."""
        sampling = self._before[1] + 1 if self._before[0] == update else 0
        self._before = (update, sampling)
        told = (f"{self.config.seed}/{update}/{sampling}/{first + n}" for n in range(count))
        return [int.from_bytes(hashlib.sha256(one.encode()).digest()[:4]) for one in told]

    def _check_sampler(self, runs: Sequence[RunRecord], model: Any) -> None:
        """What was sampled is what is trained: the model gives it the log-probs that the sampler told."""
        found = [
            Sample(run.run_id, n, run.question_id, "", one["prompt_ids"], one["completion_ids"], one["logprobs"])
            for run in runs
            for n, one in calls_of(run)
        ]
        if not found:
            problem = next((one.step["decision"]["problem"] for run in runs for one in run.steps), "no run has a step")
            raise DataError(f"The policy said nothing in any of {len(runs):,} episodes: {problem}")
        check_logprobs(found, model, temperature=self.config.temperature)

    def _note(self, everywhere: Sequence[Told], groups: int, flat: int) -> None:
        self.count += sum(len(one.totals) for one in everywhere)
        self.groups, self.flat = self.groups + groups, self.flat + flat
        self._faults += sum(one.faults for one in everywhere)
        self._replies += sum(len(one.numbers) for one in everywhere)
        if self.flat == self.groups and self._before[0] + 1 >= _FRUITLESS:
            raise DataError(
                f"None of the first {self.groups:,} groups has two different rewards, so that nothing can be learned: "
                f"{self._faults:,} of {self._replies:,} replies were no action of the protocol "
                f"{self.config.policy.protocol!r}; begin with a policy that rft has made, or raise samples or "
                "temperature."
            )


def _figures(told: Sequence[Told], flat: float, runs: Sequence[RunRecord], rows: Sequence[Row]) -> dict[str, float]:
    """Of all processes, but for those of the runs' steps and rows, of which TRL takes the mean."""
    names = sorted({name for one in told for name in one.parts})
    means = {name: _mean([value for one in told for value in one.parts.get(name, ())]) for name in names}
    own = {
        "replies": _mean([sum(1 for _ in calls_of(run)) for run in runs]),
        "usd": _mean([run.usd for run in runs]),
        "unended": _mean([run.status != "ended" for run in runs]),
        "policy_failed": _mean([run.stop_reason == "policy_failed" for run in runs]),
        "rows": float(len(rows)),
    }
    return {f"episode/{name}": value for name, value in {**own, **means, "groups_without_spread": flat}.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


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
