"""TRL's GRPOTrainer on whole episodes: `rollout_func`, and one method overridden, so that advantages are of steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from trl.trainer.grpo_trainer import GRPOTrainer

from router_training.trainers.episode_rows import ENVIRONMENT, Row


@dataclass(slots=True)
class Batch:
    """The rows of an update, on one process."""

    rows: list[Row]
    advantages: list[dict[int, float]]
    """Of each row: those of its steps, by number. The tokens of a step without one are not trained."""
    figures: dict[str, float] = field(default_factory=dict)
    """What is said of the update in the curves. Each process has the same names."""


Sample = Callable[["EpisodeTrainer", Sequence[str]], Batch]
"""Runs an episode for each of these questions, with the policy as it is, and says what each step was worth."""


class EpisodeTrainer(GRPOTrainer):
    """A group of TRL's is a question, named by the column `prompt`; what is trained are the rows of its episodes.

    A row is a call of the policy, or several where each goes on from the last token by token; so an episode has as many
    rows as it needs, and TRL is handed as many as there are. Every token that the policy did not sample is masked, and
    so are replies of groups without spread. Rows of padding, without a token to train, make their number equal on all
    processes and divisible into the pieces of an update. As the loss is over the trained tokens of an update
    (`episode_arguments` sees to it), they change nothing: it is the loss of the rows without them.

    What is relied on of TRL 1.16: `rollout_func` gives `prompt_ids`, `completion_ids`, `logprobs` and `env_mask`, which
    comes back as `tool_mask`; `_generate_and_score_completions` takes any number of rows that `num_generations`
    divides; and `_compute_loss` takes `advantages` of shape (rows, tokens).
    """

    def __init__(self, *, sample: Sample, **options: Any) -> None:
        self._sample = sample
        self._batch = Batch([], [])
        self._end = int(options["processing_class"].eos_token_id or 0)
        super().__init__(**options, reward_funcs=self._figures, rollout_func=self._rollout)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's batch, of as many rows as the episodes have, with the advantage of each token."""
        self._batch = self._sample(self, [str(one["prompt"]) for one in inputs])
        pieces = int(self.args.steps_per_generation)  # type: ignore[attr-defined]  # of GRPOConfig
        most = max(1, *gather_object([len(self._batch.rows)]))
        needed = math.ceil(most / pieces) * pieces
        self._pad(math.ceil(needed / self.num_generations) * self.num_generations)
        out: dict[str, Any] = super()._generate_and_score_completions([{"prompt": ""} for _ in self._batch.rows])
        out["advantages"] = self._advantages(out["completion_ids"])
        return {key: one[:needed] if isinstance(one, Tensor) and one.ndim else one for key, one in out.items()}

    def _pad(self, count: int) -> None:
        """The shortest rows that there are, without a token to train."""
        lacking = count - len(self._batch.rows)
        self._batch.rows += [Row([self._end], [self._end], [0.0], [ENVIRONMENT]) for _ in range(lacking)]
        self._batch.advantages += [{} for _ in range(lacking)]

    def _advantages(self, like: Tensor) -> Tensor:
        """[rows, tokens]: that of the step that wrote the token; 0 elsewhere."""
        made = torch.zeros(like.shape, dtype=torch.float32)
        for place, (row, worth) in enumerate(zip(self._batch.rows, self._batch.advantages, strict=True)):
            made[place, : len(row.steps)] = torch.tensor([worth.get(step, 0.0) for step in row.steps])
        return made.to(like.device)

    def _rollout(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        """TRL's rollout function: the rows were sampled already, as their number had to be known."""
        rows, worth = self._batch.rows, self._batch.advantages
        return {
            "prompt_ids": [one.prompt_ids for one in rows],
            "completion_ids": [one.completion_ids for one in rows],
            "logprobs": [one.logprobs for one in rows],
            "env_mask": [[int(step in told) for step in one.steps] for one, told in zip(rows, worth, strict=True)],
        }

    def _figures(self, prompts: Sequence[str], log_metric: Any, **_: Any) -> list[float | None]:
        """TRL's reward function, of which only the log is wanted: advantages are of steps, and not of rows."""
        for name, value in self._batch.figures.items():
            log_metric(name, value)
        return [0.0] * len(prompts)
