"""Settings of training on whole episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from router_training.credit.assign import By
from router_training.errors import ConfigError
from router_training.trainers.config import Part
from router_training.trainers.online_config import OnlineConfig, grpo_arguments

_OVER_TOKENS = ("dapo", "cispo")
_REFUSED = {
    "use_vllm": "episodes are sampled by the engine that serves local policies; leave it out.",
    "mask_truncated_completions": "a reply ends with its action, and not with the end-of-sequence token; leave it out.",
    "multi_objective_aggregation": "a run has one reward; set the weights of its parts there.",
    "reward_weights": "a run has one reward; set the weights of its parts there.",
}


class EpisodeCredit(Part):
    """How a reply is compared with others."""

    by: By = "episode"
    """Whose reward its tokens are paid by: the run's (Router-R1), the step's own, or both."""
    group: Literal["state", "place"] = "state"
    """With which others a step is compared: those from an equal state of the question, or those of its number."""
    weight: float = Field(default=1.0, ge=0)
    """Of the step's advantage beside the run's, where credit is mixed (GiGPO, arXiv 2505.10978)."""


class EpisodeConfig(OnlineConfig):
    """A run of `router-r1`. A group is `samples` episodes of one question; `groups` are the questions of an update."""

    credit: EpisodeCredit = Field(default_factory=EpisodeCredit)
    """How a reply is compared with others."""


def episode_arguments(config: EpisodeConfig, folder: Path) -> Any:
    """TRL's own arguments, as `grpo_arguments` has them. Raises `ConfigError`, also for what is not exact here.

    An episode is cut into rows where its prompts make it necessary, so that a loss must not depend on how: only those
    are taken that are a sum over tokens, divided by the tokens of the update.
    """
    if config.refresh_every is not None:
        raise ConfigError("refresh_every is of step-grpo; router-r1 samples each episode anew anyway, so leave it out.")
    for key, why in _REFUSED.items():
        if config.trl.get(key):
            raise ConfigError(f"trl.{key} is not for router-r1: {why}")
    args = grpo_arguments(config, folder)
    if args.loss_type not in _OVER_TOKENS:
        raise ConfigError(
            f"trl.loss_type={args.loss_type!r} depends on how episodes are cut into rows; use "
            f"{' or '.join(_OVER_TOKENS)}, which are over all tokens of an update."
        )
    if args.importance_sampling_level != "token":
        raise ConfigError(
            f"trl.importance_sampling_level={args.importance_sampling_level!r} depends on how episodes are cut into "
            "rows; use 'token'."
        )
    args.shuffle_dataset = False  # the order of the questions is ours
    return args
