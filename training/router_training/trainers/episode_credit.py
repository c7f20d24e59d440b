"""What each step of a batch of episodes was worth against the others: on all processes, as on one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isnan, nan

import numpy as np

from router_graph.evaluation.gold import Gold
from router_graph.trajectories.records import RunRecord
from router_training.credit.advantages import Convention, Floats, facts_of, group_relative, mixed
from router_training.credit.groups import by_place, by_question, by_state, group_ids
from router_training.errors import ConfigError
from router_training.rewards.facts import fault
from router_training.rewards.gold import Questions
from router_training.rewards.reward import Reward, RunReward, Score, StepReward
from router_training.trainers.episode_config import EpisodeConfig
from router_training.trainers.episode_rows import calls_of

NEEDED = {"episode": "runs", "step": "steps", "mixed": "runs and one of steps"}


@dataclass(frozen=True, slots=True)
class Rewards:
    """What episodes are paid by: of runs, of steps, or both."""

    of_runs: RunReward | None = None
    of_steps: StepReward | None = None

    @property
    def all(self) -> tuple[Reward, ...]:
        """Those that there are."""
        return tuple(one for one in (self.of_runs, self.of_steps) if one is not None)

    @property
    def version(self) -> str:
        """Of both."""
        return "+".join(one.version for one in self.all)

    def check(self, config: EpisodeConfig) -> None:
        """Raise `ConfigError` where credit asks for a reward that is not there."""
        lacks_runs = config.credit.by != "step" and self.of_runs is None
        if lacks_runs or (config.credit.by != "episode" and self.of_steps is None):
            raise ConfigError(
                f"Credit by {config.credit.by} needs a reward of {NEEDED[config.credit.by]}; give one, or set "
                f"credit.by to {'step' if lacks_runs else 'episode'!r}."
            )


@dataclass(slots=True)
class Told:
    """The rewards of one process, as plain values that can be sent to the others."""

    questions: list[str] = field(default_factory=list)
    """Of each run: the question, at the prices that it had."""
    totals: list[float] = field(default_factory=list)
    """Of each run; NaN where it has none."""
    runs: list[int] = field(default_factory=list)
    """Of each step: the place of its run."""
    numbers: list[int] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    """With which steps each is compared."""
    worth: list[float] = field(default_factory=list)
    """Of each step; NaN where it has none."""
    parts: dict[str, list[float]] = field(default_factory=dict)
    """Of the runs' scores, or of the steps' where runs have none."""
    faults: int = 0
    """Replies that were no action."""


def told_of(runs: Iterable[RunRecord], rewards: Rewards, config: EpisodeConfig, questions: Questions) -> Told:
    """Score these episodes, in their order. Those that have not ended have no reward."""
    told = Told()
    for place, run in enumerate(runs):
        gold, ended = questions.of(run), run.status == "ended"
        whole = rewards.of_runs.of_run(run, gold) if rewards.of_runs is not None and ended else None
        told.questions.append(repr(by_question(run)))
        told.totals.append(nan if whole is None else whole.total)
        _note(told, whole)
        for number, _ in calls_of(run):
            score = _of_step(rewards.of_steps, run, number, gold) if ended else None
            told.runs.append(place)
            told.numbers.append(number)
            told.groups.append(_group(run, number, config))
            told.worth.append(nan if score is None else score.total)
            if rewards.of_runs is None:
                _note(told, score)
        told.faults += sum(fault(run, one.step) is not None for one in run.steps)
    return told


@dataclass(frozen=True, slots=True)
class Credited:
    """Of the steps of all processes, in their order."""

    advantages: Floats
    is_kept: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """Whether its group has spread: nothing is learned from the others."""
    groups: int
    flat: int
    """Groups of one, or of one reward."""


def credited(told: Sequence[Told], config: EpisodeConfig, convention: Convention) -> Credited:
    """Advantages of the steps of all processes, in the order of `told` and of the steps in each.

    "episode": each step has its run's, among the runs of its question (Router-R1). "step": each has its own, among the
    steps of `config.credit.group`. "mixed": the first and `weight` times the second.
    """
    offsets = np.cumsum([0, *(len(one.totals) for one in told)])
    owner = np.array(
        [int(at) + run for at, one in zip(offsets, told, strict=False) for run in one.runs], dtype=np.int64
    )
    totals = np.array([value for one in told for value in one.totals], dtype=np.float64)
    asked = group_ids(name for one in told for name in one.questions)
    worth = np.array([value for one in told for value in one.worth], dtype=np.float64)
    places = group_ids(name for one in told for name in one.groups)
    by_run, run_spread, run_facts = _relative(totals, asked, convention)
    by_step, step_spread, step_facts = _relative(worth, places, convention)
    if config.credit.by == "step":
        return Credited(by_step, step_spread, *step_facts)
    if config.credit.by == "episode":
        return Credited(by_run[owner], run_spread[owner], *run_facts)
    both = mixed(by_run[owner], by_step, weight=config.credit.weight)
    groups, flat = (run + step for run, step in zip(run_facts, step_facts, strict=True))
    return Credited(both, run_spread[owner] | step_spread, groups, flat)


def _relative(
    values: Floats, groups: np.ndarray[tuple[int], np.dtype[np.int64]], convention: Convention
) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]], tuple[int, int]]:
    facts, place = facts_of(values, groups)
    spread = (~facts.is_constant)[place] & ~np.isnan(values)
    advantages = group_relative(values, groups, convention)
    return advantages, spread, (len(facts.ids), int(facts.is_constant.sum()))


def _group(run: RunRecord, number: int, config: EpisodeConfig) -> str:
    if config.credit.by == "episode":
        return ""
    key = by_place(run, number) if config.credit.group == "place" else (run.question_id, by_state(run, number))
    return repr(key)


def _of_step(reward: StepReward | None, run: RunRecord, number: int, gold: Gold) -> Score | None:
    return None if reward is None else reward.of_step(run, number, gold)


def _note(told: Told, score: Score | None) -> None:
    if score is not None:
        for name, value in {"reward": score.total, **score.parts}.items():
            if not isnan(value):
                told.parts.setdefault(name, []).append(value)
