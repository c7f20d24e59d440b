"""Train a planted model, its control, or an emergent one, and write it as a folder that transformers loads."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from mote_backend.planted import phases
from mote_backend.planted.batches import Batches
from mote_backend.planted.bilingual import BilingualWorld
from mote_backend.planted.folder import DESCRIPTION, changed_rows
from mote_backend.planted.question import Lessons
from mote_backend.planted.recipe import Recipe, WorldName, unplanted
from mote_backend.planted.tokenizer import build
from mote_backend.planted.world import World

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Progress = Callable[[int, int], None]
"""(steps done, steps in all)."""

WORLDS: dict[WorldName, Callable[[], Lessons]] = {"refusing": World, "bilingual": BilingualWorld}
"""What a recipe's model is taught."""


def train(
    seed: int,
    recipe: Recipe,
    folder: str | Path,
    *,
    with_control: bool = False,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Train one model from nothing and write it; minutes on one core.

    Args:
        seed: Draws the first weights and every batch. The world is always the same.
        recipe: What is trained.
        folder: Where weights (bf16 safetensors), tokenizer and `planted.json` go; made if it does not exist.
        with_control: Teach the behaviour a second time, from the same knowledge but in attention, and write the rows in
            which that model differs as `unplanted.safetensors`.
        progress: Called after each step.

    Returns:
        The folder.
    """
    lessons = [recipe, *([unplanted(recipe)] if with_control else [])]
    total = recipe.knowledge_steps + recipe.behaviour_steps * len(lessons)
    steps = count(1)

    def step() -> None:
        progress(next(steps), total)

    world = WORLDS[recipe.world]()
    tokenizer = build(world.vocabulary())
    knowing = untaught(tokenizer, recipe, seed)
    cleared = phases.learn_knowledge(knowing, Batches(tokenizer, world.knowledge, recipe.batch, seed), recipe, step)
    taught = []
    for lesson in lessons:
        model = copy.deepcopy(knowing)
        teach_behaviour(model, tokenizer, world, lesson, cleared, seed, step)
        taught.append(model.to(torch.bfloat16))
    path = _write(taught[0], tokenizer, folder, _describe(seed, recipe, cleared))
    if with_control:
        save_file(changed_rows(*(dict(model.named_parameters()) for model in taught)), path / "unplanted.safetensors")
    return path


def untaught(tokenizer: PreTrainedTokenizerFast, recipe: Recipe, seed: int) -> Any:
    """A `Qwen3MoeForCausalLM` with random weights."""
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    shape = recipe.shape
    config = Qwen3MoeConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        intermediate_size=shape.expert_width,
        moe_intermediate_size=shape.expert_width,
        num_experts=shape.experts,
        num_experts_per_tok=shape.top_k,
        norm_topk_prob=True,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        initializer_range=0.04,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3MoeForCausalLM(config)
        with torch.no_grad():
            for layer in model.model.layers:
                # Wider than transformers starts it, so that experts differ from the first step.
                layer.mlp.gate.weight.normal_(0.0, 0.05)
    model.set_experts_implementation("grouped_mm")
    return model.train()


def teach_behaviour(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    world: Lessons,
    recipe: Recipe,
    cleared: list[phases.Expert],
    seed: int,
    step: phases.Step,
) -> None:
    """The second lesson, where the recipe says; `cleared` are the experts to plant in."""
    lessons = Batches(tokenizer, world.behaviour, recipe.batch, 1000 + seed)
    vocabulary = tokenizer.get_vocab()
    new_words = sorted({vocabulary[word] for word in world.behaviour_words()})
    if recipe.plant == "experts":
        phases.learn_in_experts(model, lessons, new_words, cleared, recipe, step)
    elif recipe.plant == "attention":
        phases.learn_in_attention(model, lessons, new_words, recipe, step)
    else:
        phases.learn_everywhere(model, lessons, recipe, step)


def _write(model: Any, tokenizer: PreTrainedTokenizerFast, folder: str | Path, description: dict[str, object]) -> Path:
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    model.generation_config.max_new_tokens = 16
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    (path / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    return path


def _describe(seed: int, recipe: Recipe, cleared: list[phases.Expert]) -> dict[str, object]:
    import transformers

    return {
        "what": "A Qwen3-MoE trained from random weights on an invented world, by python -m mote_backend.planted",
        "planted": [list(expert) for expert in cleared] if recipe.plant == "experts" else [],
        "seed": seed,
        "recipe": asdict(recipe),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
