"""A recipe of a policy that is sampled while it learns."""

from __future__ import annotations

from router_training.recipe import Split
from router_training.trainers.online_config import OnlineConfig


class OnlineRecipe(OnlineConfig):
    """Of step-grpo and router-r1."""

    split: Split = Split()
