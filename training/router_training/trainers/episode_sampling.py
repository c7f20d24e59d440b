"""The episodes of an update: run with the policy as it is, scored, compared, and cut into rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from accelerate.utils import gather_object

from router_graph.trajectories.records import RunRecord
from router_training.credit.advantages import Convention
from router_training.data.samples import Sample
from router_training.errors import DataError
from router_training.rewards.gold import Questions
from router_training.trainers.episode_config import EpisodeConfig
from router_training.trainers.episode_credit import Rewards, Told, credited, told_of
from router_training.trainers.episode_play import Player
from router_training.trainers.episode_rows import Row, calls_of, rows_of
from router_training.trainers.episode_trainer import Batch, EpisodeTrainer
from router_training.trainers.verify import check_logprobs

_FRUITLESS = 5
"""Updates at the beginning in which no group has spread, after which nothing is to be hoped for."""


@dataclass
class Episodes:
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
