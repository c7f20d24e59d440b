"""Step-GRPO (R1-Router, arXiv 2505.22095, §3.3): in each recorded state several replies are sampled, what they want is
done, and they are compared by what came of it.

The states are of the log, or recorded anew from time to time with the policy as it has become. The trainer is TRL's
own: a row is a state, a group is its samples, and the reward is one function.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from router_graph.protocols import protocol_named
from router_graph.protocols.protocol import Protocol
from router_graph.trajectories.records import RunRecord
from router_training.credit.advantages import facts_of
from router_training.credit.attempt import attempt, pending, read
from router_training.credit.groups import group_ids
from router_training.data.rendering import Rendering
from router_training.data.samples import Left
from router_training.data.splits import questions_fingerprint
from router_training.errors import ConfigError
from router_training.rewards.gold import Questions
from router_training.rewards.reward import StepReward
from router_training.trainers import checkpoints, online_pages, saving
from router_training.trainers.checkpoints import CHECKPOINTS
from router_training.trainers.environment import quieten
from router_training.trainers.executing import Execute
from router_training.trainers.online_config import OnlineConfig, check_boundaries, grpo_arguments
from router_training.trainers.online_pages import Pages, Rounds
from router_training.trainers.online_states import State, check_prompts

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
    held: Iterable[RunRecord] = (),
    collect: Collect | None = None,
    resume: bool = False,
    about: dict[str, Any] | None = None,
    callbacks: Sequence[Any] = (),
) -> Path:
    """Train in the states of these runs, and save the policy in `folder`, which is returned.

    `model` is a causal model of transformers, which is changed, or the folder of one. `held` are runs of other
    questions: what the policy earns in some of their states is looked at now and then, for the curves. `resume` goes on
    from the last checkpoint of the folder, to the same bits. Raises `DataError` where no state is fit, and
    `ConfigError` for settings that do not go together, before anything is trained.
    """
    quieten(config.threads)
    folder, runs = Path(folder), list(runs)
    if not resume:
        saving.check_room(folder)
    if config.refresh_every is not None and collect is None:
        raise ConfigError("refresh_every needs somebody who runs the graph; give collect, or leave it out.")
    from router_training.trainers import loading

    base = loading.name_of(model)
    loading.check_base(config.lora, base)
    model, tokenizer = loading.load(model, tokenizer, config)
    held = list(held)
    args = grpo_arguments(config, folder / CHECKPOINTS, has_held=bool(held))
    rounds = Rounds.of(args)
    check_boundaries(config, rounds)
    left = Left()
    rendering = Rendering(tokenizer, protocol_named(config.policy.protocol), thinks=config.policy.thinks)
    pages = Pages(rendering, rounds, left, most_tokens=config.most_tokens, seed=config.seed)
    pages.add(runs)
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    check_prompts(pages.states, rendering, config.longest_reply, context)
    data = pages.fingerprint()
    from trl.trainer.grpo_trainer import GRPOTrainer

    trainer = GRPOTrainer(
        model=model,
        reward_funcs=_reward(pages, judge),
        args=args,
        train_dataset=pages.dataset(config.updates),
        eval_dataset=pages.held(held, 2 * rounds.groups) if str(args.eval_strategy.value) != "no" else None,
        processing_class=tokenizer,
        peft_config=loading.adapter(config.lora, model),
        callbacks=list(callbacks),
    )
    loading.check_merging(config.lora, trainer)
    loading.own_progress(trainer)
    if config.refresh_every is not None and collect is not None:
        from router_training.trainers.refreshing import Refreshing

        trainer.add_callback(Refreshing(trainer, tokenizer, pages, config, collect))
    outcome = trainer.train(resume_from_checkpoint=_checkpoint(folder, config, data, pages, resume=resume))
    history = trainer.state.log_history
    groups = rounds.states(config.updates)
    made = saving.Made(
        method="step-grpo",
        config=config,
        data=data,
        questions=questions_fingerprint(runs),
        samples=groups * config.samples,
        left=str(left),
        figures={
            "updates": float(outcome.global_step),
            "seconds": float(outcome.metrics["train_runtime"]),
            "groups": float(groups),
            "groups_without_spread": groups * _mean(history, "groups_without_spread"),
        },
        history=history,
        base=base,
        about=about or {},
    )
    return saving.save_policy(trainer, tokenizer, folder, made)


def _checkpoint(folder: Path, config: OnlineConfig, data: str, pages: Pages, *, resume: bool) -> str | None:
    """The last checkpoint, if the run is to go on from it, with the states that were recorded before it."""
    if not resume:
        checkpoints.begin(folder, data, config.as_json())
        return None
    update, path = checkpoints.last(folder, data, config.as_json())
    for one in online_pages.kept_until(folder / CHECKPOINTS, update):
        pages.add(online_pages.kept(folder / CHECKPOINTS, one), after=one)
    return str(path)


def _mean(history: Sequence[Mapping[str, Any]], name: str) -> float:
    told = [float(one[name]) for one in history if name in one]
    return sum(told) / len(told) if told else math.nan


def _reward(pages: Pages, judge: Judge) -> Any:
    """TRL's reward function."""

    async def worth(
        prompts: Any, completions: Sequence[list[dict[str, str]]], state: Sequence[int], log_metric: Any, **_: Any
    ) -> list[float | None]:
        found = [
            await judge(pages.state(name), said[0]["content"]) for name, said in zip(state, completions, strict=True)
        ]
        facts, _place = facts_of(found, group_ids(state))
        log_metric("groups_without_spread", float(facts.is_constant.mean()))
        return [None if math.isnan(one) else one for one in found]

    worth.__name__ = "reward"
    return worth
