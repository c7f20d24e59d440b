"""DPO, by TRL's `DPOTrainer` through its constructor.

It tokenizes text by itself, which need not give the recorded ids. So it is given a placeholder as text, and the
collator, which the constructor takes, puts the recorded ids in its place: what was sampled is what is trained.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

from router_training.data.samples import Left
from router_training.trainers.arguments import arguments
from router_training.trainers.config import Dpo, OfflineConfig
from router_training.trainers.pairs import Pair, pairs
from router_training.trainers.rows import Judged, attempted

PLACEHOLDER = "-"
_RECORDED = {
    "recorded_prompt": "prompt_ids",
    "recorded_chosen": "chosen_ids",
    "recorded_rejected": "rejected_ids",
}


@dataclass
class RecordedPairs(DataCollatorForPreference):
    """Pairs in the tokens that were recorded."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """The batch that TRL makes of them."""
        exact = [{**one, **{trl: one[ours] for ours, trl in _RECORDED.items()}} for one in examples]
        return dict(super().torch_call(exact))


def dpo_trainer(
    judged: Sequence[Judged],
    config: OfflineConfig,
    folder: Path,
    left: Left,
    common: dict[str, Any],
    held: Sequence[Judged] = (),
) -> tuple[Any, int]:
    """The trainer, and the number of pairs. The reference is the model as it is now. Raises `DataError`."""
    goal = config.objective
    assert isinstance(goal, Dpo)
    made = pairs(judged, margin=goal.margin, most=goal.most_pairs, left=left)
    seen = attempted(lambda: pairs(held, margin=goal.margin, most=goal.most_pairs, left=Left())) if held else []
    args = arguments(DPOConfig, config, folder, len(made), has_held=bool(seen), beta=goal.beta)
    trainer = DPOTrainer(
        args=args,
        ref_model=None if common["peft_config"] else reference(common["model"]),
        train_dataset=_dataset(made),
        eval_dataset=_dataset(seen) if seen else None,
        data_collator=RecordedPairs(pad_token_id=pad_of(common["processing_class"])),
        **common,
    )
    return trainer, len(made)


def _dataset(made: Sequence[Pair]) -> Dataset:
    columns = {name: [PLACEHOLDER] * len(made) for name in ("prompt", "chosen", "rejected")}
    recorded = {ours: [getattr(one, trl) for one in made] for ours, trl in _RECORDED.items()}
    return Dataset.from_dict({**columns, **recorded})


def reference(model: Any) -> Any:
    """A copy that stays as it is, made before TRL lays its own forward over the model: a copy would keep that."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def pad_of(tokenizer: Any) -> int:
    """The token to pad with."""
    pad = tokenizer.pad_token_id
    return int(pad if pad is not None else tokenizer.eos_token_id or 0)
