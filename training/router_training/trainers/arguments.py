"""Settings to TRL's own arguments, with the defaults that trap the unwary set on purpose."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router_training.errors import ConfigError
from router_training.trainers.checkpoints import CHECKPOINTS
from router_training.trainers.config import OfflineConfig, OfflineGrpo
from router_training.trainers.trl_values import fitted

_FIXED = {
    "output_dir": "it is the folder of the policy",
    "save_steps": "set save.every",
    "save_strategy": "set save.every",
    "save_total_limit": "set save.keep",
    "save_only_model": "a checkpoint without its optimizer cannot be resumed",
    "seed": "set seed",
    "data_seed": "set seed",
    "report_to": "nothing is sent anywhere",
    "disable_tqdm": "progress is shown by a bar of its own",
    "push_to_hub": "nothing is sent anywhere",
    "hub_token": "nothing is sent anywhere, and settings are kept with the policy",
    "max_length": "set data.most_tokens, which leaves long samples out and never cuts them",
    "truncation_mode": "samples are never cut",
    "beta": "set objective.beta",
    "remove_unused_columns": "the trainer reads columns of its own",
    "dataset_kwargs": "samples are in tokens already",
    "packing": "samples are in tokens already",
    "padding_free": "samples are padded by a collator of their own",
    "average_tokens_across_devices": "the loss is over the tokens of all processes",
    "router_aux_loss_coef": "the policy alone is trained, and no balance of experts",
    "label_smoothing_factor": "the log-prob of what was said is trained",
}


def arguments(
    kind: Any, config: OfflineConfig, folder: Path, samples: int, *, has_held: bool = False, **own: Any
) -> Any:
    """Of `kind`, such as `trl.SFTConfig`, for so many samples. `own` are what the method sets; `has_held` is whether
    there are other samples to evaluate on.

    Raises `ConfigError` for a key that TRL does not know, one that is set elsewhere, and checkpoints at which a run
    could not be resumed to the same bits.
    """
    import torch

    known = {field.name for field in dataclasses.fields(kind) if field.init}
    for key in config.trl:
        if reason := ("the method sets it" if key in own else _FIXED.get(key)):
            raise ConfigError(f"trl.{key} cannot be set here: {reason}.")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"see trl.{kind.__name__}."
            raise ConfigError(f"trl.{key} is no argument of {kind.__name__}; {hint}")
    told = fitted(kind, config.trl)
    on_gpu = torch.cuda.is_available() and not told.get("use_cpu", False)
    if told.get("bf16") and not on_gpu:
        raise ConfigError("trl.bf16 is for a GPU; on a CPU a policy trains in float32, so leave it out.")
    defaults = {
        "bf16": on_gpu and torch.cuda.is_bf16_supported(),
        "activation_checkpointing": False,
        "logging_steps": 1,
        "dataloader_pin_memory": on_gpu,
        "ddp_find_unused_parameters": False,  # all are used; with experts that may go unused, say true
        **evaluation(config.trl, 0, has_held=has_held),
    }
    if "gradient_checkpointing" in told:  # its older name
        del defaults["activation_checkpointing"]
    fixed = {
        "output_dir": str(folder / CHECKPOINTS),
        "seed": config.seed,
        "data_seed": config.seed,
        "report_to": [],
        "disable_tqdm": True,
        "push_to_hub": False,
        "max_length": None,
        "remove_unused_columns": False,
        "average_tokens_across_devices": True,
        "router_aux_loss_coef": 0.0,
        "save_strategy": "steps" if config.save.every else "no",
        "save_steps": config.save.every or 500,
        "save_total_limit": config.save.keep,
    }
    try:
        made = kind(**{key: value for key, value in {**defaults, **told, **fixed, **own}.items() if key in known})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"trl: {' '.join(str(error).split())}") from error
    per_epoch = updates_per_epoch(made, samples)
    if has_held and "eval_steps" not in config.trl:
        made.eval_steps = max(1, math.ceil(total_updates(made, per_epoch) / 10))
    check_boundaries(config, per_epoch, made)
    return made


def evaluation(trl: Mapping[str, Any], updates: int, *, has_held: bool) -> dict[str, Any]:
    """TRL's settings to look at held-out questions ten times in so many updates; `trl.eval_strategy=no` for never.

    Raises `ConfigError` where that is asked for, and no questions are held out.
    """
    asked = trl.get("eval_strategy")
    if asked not in (None, "no") and not has_held:
        raise ConfigError(
            f"trl.eval_strategy is {asked!r}, and no questions are held out to evaluate on; set split.held_out above "
            "0, or leave it out."
        )
    return {"eval_strategy": "steps" if has_held else "no", "eval_steps": max(1, math.ceil(updates / 10))}


def updates_per_epoch(args: Any, samples: int) -> int:
    """How many updates transformers makes of so many samples."""
    batches = math.ceil(samples / (int(args.per_device_train_batch_size) * int(args.world_size)))
    return math.ceil(batches / int(args.gradient_accumulation_steps))


def total_updates(args: Any, per_epoch: int) -> int:
    """Of the run."""
    return int(args.max_steps) if args.max_steps > 0 else math.ceil(per_epoch * args.num_train_epochs)


def check_boundaries(config: OfflineConfig, per_epoch: int, args: Any) -> None:
    """Raise `ConfigError` where a checkpoint would never come, or would not give the same bits when it is resumed."""
    every = config.save.every
    if every is None:
        return
    total = total_updates(args, per_epoch)
    if every > total:
        raise ConfigError(
            f"save.every is {every:,}, and the run has {total:,} updates, so that nothing would be kept; set it to "
            f"{total:,} or less."
        )
    if _is_anchored(config) and every % per_epoch:
        raise ConfigError(
            f"save.every is {every:,}; offline-grpo can be resumed to the same bits only where an epoch ends, for its "
            f"anchor is the policy of the epoch's start: set a multiple of {per_epoch:,}."
        )


def check_resumable(config: OfflineConfig, per_epoch: int, step: int) -> None:
    """Raise `ConfigError` where a run cannot go on from a checkpoint of this step to the same bits."""
    if _is_anchored(config) and step % per_epoch:
        raise ConfigError(
            f"The checkpoint of step {step:,} lies within an epoch of {per_epoch:,} updates; offline-grpo can be "
            "resumed to the same bits only where an epoch ends."
        )


def _is_anchored(config: OfflineConfig) -> bool:
    return isinstance(config.objective, OfflineGrpo) and config.objective.anchor == "epoch"
