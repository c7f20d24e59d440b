"""A policy from a log: samples with what they were worth go in, a folder that the graph loads comes out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from router_training.data.samples import Left
from router_training.errors import ConfigError, DataError
from router_training.trainers import checkpoints, saving
from router_training.trainers.arguments import arguments, check_resumable, updates_per_epoch
from router_training.trainers.config import Dpo, Kto, OfflineConfig, OfflineGrpo
from router_training.trainers.environment import quieten
from router_training.trainers.rows import Judged, attempted, dataset, fingerprint, rows

MOST_HELD = 128
"""Samples that are evaluated on, ten times in a run."""


def train_offline(
    samples: Sequence[Judged],
    config: OfflineConfig,
    model: Any,
    tokenizer: Any,
    folder: str | Path,
    *,
    held: Sequence[Judged] = (),
    resume: bool = False,
    left: Left | None = None,
    method: str = "",
    about: Mapping[str, Any] | None = None,
    callbacks: Sequence[Any] = (),
) -> Path:
    """Train by `config.objective.method`, and save the policy in `folder`, which is returned.

    `model` is a causal model of transformers, which is changed, or the folder of one; `tokenizer` too may be None for
    the one that lies there. `held` are samples of other questions: their loss is looked at now and then, for the
    curves. `resume` goes on from the last checkpoint of the folder. `method` is what the card calls it, if it is not
    the objective's; `about` goes into the card. Raises `DataError` where the samples teach nothing or do not fit the
    model, `TokensError` where they are of another one, and `ConfigError` for settings that do not go together; all
    before anything is trained.
    """
    quieten(config.threads)
    folder, left = Path(folder), left or Left()
    if not resume:
        saving.check_room(folder)
    fit = _short_enough(samples, config.data.most_tokens, left)
    from router_training.trainers import loading, verify

    base = loading.name_of(model)
    loading.check_base(config.lora, base)
    model, tokenizer = loading.load(model, tokenizer, config)
    _check_end(config, tokenizer)
    some = _some(held, config)
    verify.check_fits([one.sample for one in (*fit, *some)], model, tokenizer)
    trainer, used = _trainer(fit, some, config, model, tokenizer, folder, left, callbacks)
    loading.check_merging(config.lora, trainer)
    if config.data.verify or (config.data.verify is None and isinstance(config.objective, OfflineGrpo)):
        verify.check_logprobs(
            [one.sample for one in fit],
            trainer.model,
            temperature=config.data.sampled_at,
            most_difference=config.data.most_difference,
            seed=config.seed,
        )
    data = fingerprint(fit)
    loading.own_progress(trainer)
    point = _checkpoint(folder, config, data, updates_per_epoch(trainer.args, used), resume)
    outcome = trainer.train(resume_from_checkpoint=point)
    made = saving.Made(
        method=method or config.objective.method,
        config=config,
        data=data,
        questions=_questions(fit),
        samples=used,
        left=str(left),
        figures={
            "train_loss": float(outcome.training_loss),
            "updates": float(outcome.global_step),
            "seconds": float(outcome.metrics["train_runtime"]),
        },
        history=trainer.state.log_history,
        stopped=getattr(trainer, "stopped", None),
        base=base,
        about=dict(about or {}),
    )
    return saving.save_policy(trainer, tokenizer, folder, made)


def _some(held: Sequence[Judged], config: OfflineConfig) -> Sequence[Judged]:
    """As many as are quickly looked at, among those that are short enough; none where that is not wanted."""
    if config.trl.get("eval_strategy") == "no":
        return []
    return attempted(lambda: _short_enough(held, config.data.most_tokens, Left()))[:MOST_HELD]


def _trainer(
    fit: Sequence[Judged],
    held: Sequence[Judged],
    config: OfflineConfig,
    model: Any,
    tokenizer: Any,
    folder: Path,
    left: Left,
    callbacks: Sequence[Any],
) -> tuple[Any, int]:
    """The trainer of the method, and how many samples (pairs, for dpo) it trains on."""
    from router_training.trainers import loading

    goal = config.objective
    common: dict[str, Any] = {
        "model": model,
        "processing_class": tokenizer,
        "peft_config": loading.adapter(config.lora, model),
        "callbacks": list(callbacks),
    }
    if isinstance(goal, Dpo):
        from router_training.trainers.dpo import dpo_trainer

        return dpo_trainer(fit, config, folder, left, common, held)
    if isinstance(goal, Kto):
        from router_training.trainers.kto import kto_trainer

        return kto_trainer(fit, config, folder, left, common, held)
    made = rows(fit, goal, left)
    from trl.trainer.sft_config import SFTConfig

    from router_training.trainers.offline_trainer import OfflineTrainer

    seen = attempted(lambda: rows(held, goal, Left())) if held else []
    own = {"dataset_kwargs": {"skip_prepare_dataset": True}}
    args = arguments(SFTConfig, config, folder, len(made), has_held=bool(seen), **own)
    trainer = OfflineTrainer(
        args=args,
        train_dataset=dataset(made),
        eval_dataset=dataset(seen) if seen else None,
        objective=goal,
        sampled_at=config.data.sampled_at,
        **common,
    )
    return trainer, len(made)


def _short_enough(samples: Sequence[Judged], most: int | None, left: Left) -> list[Judged]:
    fit = [
        one for one in samples if most is None or len(one.sample.prompt_ids) + len(one.sample.completion_ids) <= most
    ]
    if len(fit) < len(samples):
        left.counts[f"longer than {most:,} tokens"] += len(samples) - len(fit)
    if not fit:
        raise DataError(f"There is no sample to train on ({left} left out).")
    return fit


def _check_end(config: OfflineConfig, tokenizer: Any) -> None:
    if isinstance(config.objective, Dpo | Kto) and tokenizer.eos_token is None:
        raise ConfigError(
            f"The tokenizer has no token that ends a reply, which {config.objective.method} needs; set its eos_token, "
            "and save it again."
        )


def _checkpoint(folder: Path, config: OfflineConfig, data: str, per_epoch: int, resume: bool) -> str | None:
    """The last checkpoint, if the run is to go on from it. Raises `ConfigError` where it is of another run."""
    if not resume:
        checkpoints.begin(folder, data, config.as_json())
        return None
    step, path = checkpoints.last(folder, data, config.as_json())
    check_resumable(config, per_epoch, step)
    return str(path)


def _questions(samples: Sequence[Judged]) -> str:
    asked = sorted({one.sample.question_id for one in samples})
    return hashlib.sha256("\n".join(asked).encode()).hexdigest()[:16]
