"""Settings of training online: the policy is sampled while it learns."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from pathlib import Path
from typing import Any

from pydantic import Field

from router_training.errors import ConfigError
from router_training.trainers.arguments import evaluation
from router_training.trainers.config import Lora, Part, RewardChoice, Save, Spoken
from router_training.trainers.online_pages import Rounds
from router_training.trainers.trl_values import fitted

_FIXED = frozenset(
    "output_dir save_steps save_strategy save_total_limit save_only_model seed data_seed report_to push_to_hub "
    "hub_token num_generations max_steps max_completion_length temperature remove_unused_columns shuffle_dataset "
    "dataloader_num_workers per_device_train_batch_size".split()
)


class OnlineConfig(Part):
    """A run of `step-grpo`, or of `router-r1`."""

    updates: int = Field(default=200, ge=1)
    samples: int = Field(default=8, ge=2)
    """Of a group: replies to one state, or runs of one question."""
    groups: int = Field(default=8, ge=1)
    """Of an update, on each process."""
    refresh_every: int | None = Field(default=None, ge=1)
    """Updates after which states are recorded anew with the policy as it is; None: those of the log stay."""
    temperature: float = Field(default=1.0, gt=0)
    """Of the samples."""
    most_tokens: int | None = Field(default=None, ge=2)
    """States longer than this are left out, and counted."""
    longest_reply: int = Field(default=256, ge=1)
    """In tokens."""
    reward: RewardChoice = RewardChoice()
    lora: Lora | None = None
    save: Save = Save()
    policy: Spoken = Spoken()
    seed: int = Field(default=0, ge=0, lt=2**32)
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Of torch, on a CPU; None leaves them alone."""
    trl: dict[str, Any] = Field(default_factory=dict)
    """Passed to TRL's GRPOConfig: learning_rate, loss_type, beta and so on."""


def grpo_arguments(config: OnlineConfig, folder: Path, *, has_held: bool = False) -> Any:
    """TRL's own arguments. Where TRL's defaults may change, ours are said: no reference model (beta 0), the loss over
    all tokens of a batch ("dapo", arXiv 2503.14476), and advantages by the deviation of the batch: by that of the
    group, a cent's difference between samples that all failed would count as much as success and failure elsewhere.

    `has_held` is whether there are questions to evaluate on, which is done ten times in a run. Raises `ConfigError` for
    a key that TRL does not know, and one that is set elsewhere.
    """
    import torch
    from trl.trainer.grpo_config import GRPOConfig

    known = {field.name for field in dataclasses.fields(GRPOConfig) if field.init}
    for key in config.trl:
        if key in _FIXED:
            raise ConfigError(f"trl.{key} cannot be set here; it follows from the other settings.")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see trl.GRPOConfig."
            raise ConfigError(f"trl.{key} is no argument of GRPOConfig; {hint}")
    told = fitted(GRPOConfig, config.trl)
    on_gpu = torch.cuda.is_available() and not told.get("use_cpu", False)
    given: dict[str, Any] = {
        "beta": 0.0,
        "loss_type": "dapo",
        "scale_rewards": "batch",
        "num_iterations": 1,
        "importance_sampling_level": "token",
        "bf16": on_gpu and torch.cuda.is_bf16_supported(),
        "activation_checkpointing": False,
        "logging_steps": 1,
        "dataloader_pin_memory": on_gpu,
        "disable_tqdm": not sys.stderr.isatty(),
        "router_aux_loss_coef": 0.0,
        "top_k": 0,
        "top_p": 1.0,
        "ddp_find_unused_parameters": False,
        **evaluation(config.trl, config.updates, has_held=has_held),
        "per_device_eval_batch_size": config.groups * config.samples,
        **told,
        "output_dir": str(folder),
        "per_device_train_batch_size": config.groups * config.samples,
        "num_generations": config.samples,
        "max_steps": config.updates,
        "max_completion_length": config.longest_reply,
        "temperature": config.temperature,
        "seed": config.seed,
        "data_seed": config.seed,
        "report_to": [],
        "push_to_hub": False,
        "remove_unused_columns": False,
        "shuffle_dataset": False,  # rows are in the order in which states were drawn
        "save_strategy": "steps" if config.save.every else "no",
        "save_steps": config.save.every or 500,
        "save_total_limit": config.save.keep,
    }
    if "gradient_checkpointing" in config.trl:  # its older name
        del given["activation_checkpointing"]
    try:
        return GRPOConfig(**{key: value for key, value in given.items() if key in known})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"trl: {' '.join(str(error).split())}") from error


def check_boundaries(config: OnlineConfig, rounds: Rounds) -> None:
    """Raise `ConfigError` where a checkpoint would never come, or would not give the same bits when it is resumed."""
    every = config.save.every
    if every is None:
        return
    if every > config.updates:
        raise ConfigError(
            f"save.every is {every:,}, and the run has {config.updates:,} updates, so that nothing would be kept; set "
            f"it to {config.updates:,} or less."
        )
    if every % rounds.apart:
        raise ConfigError(
            f"save.every is {every:,}; step-grpo can be resumed to the same bits only where replies are sampled anew, "
            f"which is every {rounds.apart:,} updates: set a multiple of {rounds.apart:,}."
        )
    if config.trl.get("sync_ref_model"):
        raise ConfigError(
            "save.every keeps checkpoints to resume from, and with trl.sync_ref_model the reference is not in them; "
            "leave one of both out."
        )
