"""Step-GRPO (R1-Router, arXiv 2505.22095, §3.3): in each recorded state several replies are sampled, what they want is
done, and they are compared by what came of it.

The states are of the log, or recorded anew from time to time with the policy as it has become. The trainer is TRL's
own: a row is a state, a group is its samples, and the reward is one function.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from router_graph.policies.local import PolicyCard
from router_graph.protocols import protocol_named
from router_graph.protocols.protocol import Protocol
from router_graph.trajectories.records import RunRecord
from router_training.credit.advantages import facts_of
from router_training.credit.attempt import attempt, pending, read
from router_training.credit.groups import group_ids
from router_training.data.rendering import Rendering
from router_training.data.samples import Left
from router_training.errors import ConfigError
from router_training.rewards.gold import Questions
from router_training.rewards.reward import StepReward
from router_training.trainers import saving
from router_training.trainers.environment import quieten
from router_training.trainers.executing import Execute
from router_training.trainers.online_config import OnlineConfig, grpo_arguments
from router_training.trainers.online_states import State, check_prompts, states_of

Collect = Callable[[Path, int], Iterable[RunRecord]]
"""Runs the graph with the policy of a folder, for the so-manieth time, and gives the runs: `local:FOLDER`."""
Judge = Callable[[State, str], Awaitable[float]]
"""What a reply in a state is worth; NaN where it cannot be judged."""


def judged_by(reward: StepReward, execute: Execute, protocol: Protocol, questions: Questions | None = None) -> Judge:
    """A reply is read as the graph would read it, its routes are taken, and the reward is told what came of it."""
    known = questions or Questions()

    async def judge(state: State, reply: str) -> float:
        run, number = state.run, state.number
        thought, actions = read(run, number, reply, protocol)
        observations, routes = pending(run, number, actions)
        for position, route in routes.items():
            observations[position] = await execute(run, number, route)
        tried = attempt(run, number, actions, observations, reply=reply, thought=thought)
        score = reward.of_step(tried, number, known.of(run))
        return math.nan if score is None else score.total

    return judge


def train_step_grpo(
    runs: Iterable[RunRecord],
    judge: Judge,
    config: OnlineConfig,
    model: Any,
    tokenizer: Any,
    folder: str | Path,
    *,
    collect: Collect | None = None,
    about: dict[str, Any] | None = None,
    callbacks: Sequence[Any] = (),
) -> Path:
    """Train in the states of these runs, and save the policy in `folder`, which is returned.

    `model` is a causal model of transformers, which is changed, or the folder of one. Raises `DataError` where no state
    is fit, and `ConfigError` for settings that do not go together, before anything is trained.
    """
    quieten(config.threads)
    folder = Path(folder)
    saving.check_room(folder)
    if config.refresh_every is not None and collect is None:
        raise ConfigError("refresh_every needs somebody who runs the graph; give collect, or leave it out.")
    from router_training.trainers import loading

    model, tokenizer = loading.load(model, tokenizer, _as_any(config))
    rendering = Rendering(tokenizer, protocol_named(config.policy.protocol), thinks=config.policy.thinks)
    left = Left()
    book = _Book(rendering, config, left)
    book.write(runs)
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    check_prompts(book.states, rendering, config.longest_reply, context)
    from trl.trainer.grpo_trainer import GRPOTrainer

    trainer = GRPOTrainer(
        model=model,
        reward_funcs=_reward(book, judge),
        args=grpo_arguments(config, folder / "checkpoints"),
        train_dataset=book.dataset(),
        processing_class=tokenizer,
        peft_config=loading.adapter(config.lora, model),
        callbacks=list(callbacks),
    )
    loading.own_progress(trainer)
    if config.refresh_every is not None and collect is not None:
        trainer.add_callback(_refreshing(trainer, tokenizer, book, config, collect))
    outcome = trainer.train()
    made = saving.Made(
        method="step-grpo",
        config=_as_any(config),
        data=book.fingerprint(),
        questions="",
        samples=config.updates * config.groups * config.samples,
        left=str(left),
        figures={
            "updates": float(outcome.global_step),
            "seconds": float(outcome.metrics["train_runtime"]),
            "groups_without_spread": float(book.flat),
            "groups": float(book.groups),
        },
        history=trainer.state.log_history,
        about=about or {},
    )
    return saving.save_policy(trainer, tokenizer, folder, made)


class _Book:
    """The states that rows stand for, and which may be written anew while a trainer reads."""

    def __init__(self, rendering: Rendering, config: OnlineConfig, left: Left) -> None:
        self.states: list[State] = []
        self.groups = self.flat = 0
        """Groups that were judged, and those of one reward."""
        self._rendering, self._config, self._left = rendering, config, left
        self._all: list[State] = []

    def write(self, runs: Iterable[RunRecord]) -> None:
        """States to sample in from now on."""
        most = self._config.most_tokens
        self.states = states_of(runs, self._rendering, most_tokens=most, left=self._left)
        self._all += self.states  # rows that were read before may still be judged

    def dataset(self) -> Any:
        """A row for each group of the run; the state that it stands for is drawn when it is read."""
        from datasets import Dataset

        rows = self._config.updates * self._config.groups + self._config.groups
        return Dataset.from_dict({"slot": list(range(rows))}).with_transform(self._read)

    def _read(self, batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        first = len(self._all) - len(self.states)
        places = [first + slot % len(self.states) for slot in batch["slot"]]
        return {"prompt": [self._all[place].messages for place in places], "state": places}

    def state(self, name: int) -> State:
        """The state of a row."""
        return self._all[name]

    def fingerprint(self) -> str:
        """Names the states that are in it now."""
        import hashlib

        each = sorted(f"{one.run.question_id}/{one.messages}" for one in self.states)
        return hashlib.sha256("\n".join(each).encode()).hexdigest()[:16]


def _reward(book: _Book, judge: Judge) -> Any:
    """TRL's reward function."""

    async def worth(
        prompts: Any, completions: Sequence[list[dict[str, str]]], state: Sequence[int], log_metric: Any, **_: Any
    ) -> list[float | None]:
        found = [
            await judge(book.state(name), said[0]["content"]) for name, said in zip(state, completions, strict=True)
        ]
        facts, _place = facts_of(found, group_ids(state))
        book.groups += len(facts.ids)
        book.flat += int(facts.is_constant.sum())
        log_metric("groups_without_spread", float(facts.is_constant.mean()))
        return [None if math.isnan(one) else one for one in found]

    worth.__name__ = "reward"
    return worth


def _refreshing(trainer: Any, tokenizer: Any, book: _Book, config: OnlineConfig, collect: Collect) -> Any:
    """Records states anew with the policy as it is, every so many updates."""
    from transformers import TrainerCallback

    class Refreshing(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            every = config.refresh_every
            if every is None or state.global_step % every or state.global_step >= state.max_steps:
                return
            with tempfile.TemporaryDirectory() as folder:
                save_as(trainer.accelerator.unwrap_model(trainer.model_wrapped), tokenizer, Path(folder), config)
                book.write(collect(Path(folder), state.global_step // every))

    return Refreshing()


def save_as(model: Any, tokenizer: Any, folder: Path, config: OnlineConfig) -> None:
    """The policy as it is now, to be run in a graph."""
    spoken = config.policy
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    PolicyCard(
        name=spoken.name,
        protocol=spoken.protocol,
        thinks=spoken.thinks,
        temperature=config.temperature,
        max_tokens=spoken.max_tokens,
    ).save(folder)


def _as_any(config: OnlineConfig) -> Any:
    return config
