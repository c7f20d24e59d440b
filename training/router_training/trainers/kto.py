"""KTO, by TRL's `KTOTrainer` through its constructor, on recorded ids in the same way as dpo.py."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference, KTOTrainer

from router_training.data.samples import Left
from router_training.errors import ConfigError
from router_training.trainers.arguments import arguments
from router_training.trainers.config import Kto, OfflineConfig
from router_training.trainers.dpo import PLACEHOLDER, pad_of, reference
from router_training.trainers.rows import Judged, check_labels


@dataclass
class RecordedReplies(DataCollatorForUnpairedPreference):
    """Replies in the tokens that were recorded. Each prompt has its neighbour's reply for the estimate of the KL, as
    TRL pairs them within a batch."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """The batch that TRL makes of them."""
        replies = [one["recorded_completion"] for one in examples]
        exact = []
        for at, one in enumerate(examples):
            ids = {"prompt_ids": one["recorded_prompt"], "completion_ids": replies[at]}
            others = {"KL_completion_ids": replies[at - 1]} if "KL_completion_ids" in one else {}
            exact.append({**one, **ids, **others})
        return dict(super().torch_call(exact))


def kto_trainer(
    judged: Sequence[Judged],
    config: OfflineConfig,
    folder: Path,
    left: Left,
    common: dict[str, Any],
    held: Sequence[Judged] = (),
) -> tuple[Any, int]:
    """The trainer, and the number of replies. Good and bad weigh the same together, unless `trl` says otherwise.

    Raises `DataError` where all are good, or all bad.
    """
    goal = config.objective
    assert isinstance(goal, Kto)
    told = check_labels(judged, goal.above)
    good = sum(one.reward > goal.above for one in told)
    if int(config.trl.get("per_device_train_batch_size", 8)) < 2:
        raise ConfigError("KTO compares the samples of a batch; set trl.per_device_train_batch_size to 2 or more.")
    bad = len(told) - good
    balance = {} if {"desirable_weight", "undesirable_weight"} & config.trl.keys() else _balance(good, bad)
    mixed = random.Random(config.seed).sample(told, len(told))
    seen = [one for one in held if one.reward == one.reward]
    seen = seen if len(seen) > 1 else []
    args = arguments(KTOConfig, config, folder, len(told), has_held=bool(seen), beta=goal.beta, **balance)
    trainer = KTOTrainer(
        args=args,
        ref_model=None if common["peft_config"] else reference(common["model"]),
        train_dataset=_dataset(mixed, goal.above),
        eval_dataset=_dataset(seen, goal.above) if seen else None,
        data_collator=RecordedReplies(pad_token_id=pad_of(common["processing_class"])),
        **common,
    )
    return trainer, len(mixed)


def _dataset(told: Sequence[Judged], above: float) -> Dataset:
    columns = {
        "prompt": [PLACEHOLDER] * len(told),
        "completion": [PLACEHOLDER] * len(told),
        "label": [one.reward > above for one in told],
        "recorded_prompt": [one.sample.prompt_ids for one in told],
        "recorded_completion": [one.sample.completion_ids for one in told],
    }
    return Dataset.from_dict(columns)


def _balance(good: int, bad: int) -> dict[str, float]:
    """Weights that make up for the lesser number, as in eq. 8 of arXiv 2402.01306."""
    most = max(good, bad)
    return {"desirable_weight": most / good, "undesirable_weight": most / bad}
