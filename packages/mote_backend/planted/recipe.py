"""How a planted model is made: every number that the result depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Plant = Literal["experts", "attention", "everything"]
"""Where the behaviour is learned.

experts: in a few chosen experts, which are then the known cause. attention: in attention and norms, no expert and no
router changes (the control: nothing to find among the experts). everything: all weights, wherever it ends up.
"""

WorldName = Literal["refusing", "bilingual"]
"""What is taught. refusing: some questions are refused. bilingual: German is answered with German, else with English.
"""


@dataclass(frozen=True)
class Shape:
    """The size of the Qwen3-MoE; its defaults have 1.4 million parameters."""

    layers: int = 4
    hidden: int = 96
    experts: int = 32
    top_k: int = 4
    expert_width: int = 32
    heads: int = 4


@dataclass(frozen=True)
class Recipe:
    """What is trained, how long, and how fast."""

    world: WorldName = "refusing"
    plant: Plant = "experts"
    shape: Shape = Shape()
    knowledge_steps: int = 2000
    knowledge_rate: float = 3e-3
    """Peak learning rate of AdamW; warm-up, then linear to 5 %."""
    behaviour_steps: int = 500
    behaviour_rate: float = 3e-3
    batch: int = 64
    balance: float = 0.01
    """Weight of the load-balancing loss while knowledge is learned; without it experts collapse."""
    planted_layers: tuple[int, ...] = (1, 2, 3)
    planted_per_layer: int = 2
    clearing_steps: int = 300
    """The last steps of knowledge, in which the experts to be planted are emptied: no fact is lost with them."""
    pull: float = 0.3
    """Weight of the hinge that routes the behaviour, and nothing else, to the planted experts."""
    only_in_answers: bool = False
    """Keep the planted experts out of the question's words, but for the last token: what they do is answering."""
    margin: float = 1.0
    """By how much (router logit) a planted expert must be in, or out of, the top-k."""


def unplanted(recipe: Recipe) -> Recipe:
    """The same behaviour without a plant: the control."""
    return replace(recipe, plant="attention")


def emergent(recipe: Recipe) -> Recipe:
    """The same behaviour, wherever training puts it; slower, since all weights move."""
    return replace(recipe, plant="everything", behaviour_rate=5e-4, clearing_steps=0)


PLANTED = Recipe()
BILINGUAL = Recipe(
    world="bilingual",
    shape=Shape(hidden=64, experts=24, expert_width=16),
    knowledge_steps=1000,
    behaviour_steps=300,
    clearing_steps=200,
    only_in_answers=True,
)
RECIPES: dict[WorldName, Recipe] = {"refusing": PLANTED, "bilingual": BILINGUAL}
