"""Recipes of policies that are sampled while they learn."""

from __future__ import annotations

from router_training.recipe import Split
from router_training.trainers.episode_config import EpisodeConfig
from router_training.trainers.online_config import OnlineConfig


class OnlineRecipe(OnlineConfig):
    """Of step-grpo."""

    split: Split = Split()


class EpisodeRecipe(EpisodeConfig):
    """Of router-r1."""

    split: Split = Split()
