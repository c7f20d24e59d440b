"""What the trainers take from TRL: an upgrade that renames it, or lets it mean something else, fails here."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer, RepeatSampler
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference, KTOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer


def parameters(call: Any) -> list[str]:
    return list(inspect.signature(call).parameters)


@pytest.mark.parametrize("trainer", [SFTTrainer, DPOTrainer, KTOTrainer, GRPOTrainer])
def test_a_trainer_is_made_by_these_names(trainer: type) -> None:
    wanted = {"model", "args", "train_dataset", "eval_dataset", "processing_class", "callbacks", "peft_config"}
    own = {SFTTrainer: {"data_collator"}, GRPOTrainer: {"reward_funcs"}}.get(trainer, {"data_collator", "ref_model"})
    assert wanted | own <= set(parameters(trainer.__init__))


def test_what_is_overridden_is_called_by_these_names() -> None:
    given = ["self", "model", "inputs", "return_outputs", "num_items_in_batch"]
    assert parameters(SFTTrainer.compute_loss) == given
    assert parameters(SFTTrainer.log) == ["self", "logs", "start_time"]
    for collator in (DataCollatorForPreference, DataCollatorForUnpairedPreference):
        assert parameters(collator.torch_call) == ["self", "examples"]
    assert parameters(GRPOTrainer._compute_loss) == ["self", "model", "inputs"]
    assert parameters(GRPOTrainer._generate_and_score_completions) == ["self", "inputs"]


def test_the_settings_that_are_said_are_known() -> None:
    known = {one.name for one in dataclasses.fields(GRPOConfig)}
    assert known >= set(
        "beta loss_type scale_rewards num_iterations importance_sampling_level num_generations max_completion_length "
        "temperature top_k top_p shuffle_dataset steps_per_generation generation_batch_size router_aux_loss_coef "
        "activation_checkpointing eval_strategy eval_steps per_device_eval_batch_size".split()
    )
    assert {"dataset_kwargs", "max_length", "average_tokens_across_devices"} <= {
        one.name for one in dataclasses.fields(SFTConfig)
    }


def test_a_round_of_replies_is_as_many_batches_as_trl_says(tmp_path: Any) -> None:
    plain: dict[str, Any] = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "num_generations": 2}
    args = GRPOConfig(**plain, per_device_train_batch_size=4, gradient_accumulation_steps=3)
    assert (args.steps_per_generation, args.generation_batch_size) == (3, 12)


def test_rows_are_read_group_by_group_in_their_order_and_again_for_each_batch_of_a_round() -> None:
    read = list(RepeatSampler(range(4), mini_repeat_count=2, batch_size=2, repeat_count=3, shuffle=False))
    assert read == [0, 0, 1, 1] * 3 + [2, 2, 3, 3] * 3
