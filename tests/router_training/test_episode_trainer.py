"""The loss of episodes is that of the replies alone: what the policy did not write, padding and pieces change nothing.

And what is relied on of TRL, by name: an upgrade that changes it fails here.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl.trainer.grpo_trainer import GRPOTrainer

from router_training.errors import ConfigError
from router_training.trainers.environment import quieten
from router_training.trainers.episode_config import EpisodeConfig, episode_arguments
from router_training.trainers.episode_rows import Row
from router_training.trainers.episode_trainer import Batch, EpisodeTrainer
from support.offline_samples import tiny

STEPPED = {"learning_rate": 1.0, "optim": "sgd", "max_grad_norm": 0.0, "lr_scheduler_type": "constant", "use_cpu": True}
"""One plain step, which is the gradient."""
ROWS = (
    Row([5, 6, 7], [8, 9, 10, 11, 12], [-1.0, -1.0, 0.0, 0.0, -1.0], [1, 1, 0, 0, 2]),
    Row([7, 8, 9, 10, 11, 12], [13, 14], [-1.0, -1.0], [1, 1]),
    Row([9], [20, 21, 22, 23], [-1.0, 0.0, -1.0, -1.0], [2, 0, 3, 3]),
)
WORTH: tuple[dict[int, float], ...] = ({1: 0.7, 2: -1.3}, {1: 0.4}, {3: -0.2})
"""The step 2 of the last row is in a group without spread."""


def batch() -> Batch:
    """The rows, as an update would have them."""
    rows = [Row(list(one.prompt_ids), list(one.completion_ids), list(one.logprobs), list(one.steps)) for one in ROWS]
    return Batch(rows, [dict(one) for one in WORTH], {"episode/reward": 0.5})


def trainer_on(folder: Path, made: Any = batch, **trl: Any) -> tuple[EpisodeTrainer, Any]:
    """A trainer whose episodes are these, and its model."""
    quieten(1)
    model, tokenizer = tiny()
    config = EpisodeConfig(updates=1, samples=2, groups=2, longest_reply=8, trl={**STEPPED, **trl})
    trainer = EpisodeTrainer(
        model=model,
        sample=lambda trainer, names: made(),
        args=episode_arguments(config, folder),
        train_dataset=Dataset.from_dict({"prompt": list("abcdefgh")}),
        processing_class=tokenizer,
    )
    return trainer, model


def reference() -> tuple[float, dict[str, torch.Tensor]]:
    """−Σ A log π / N over the trained tokens, each row alone and unpadded: its value with ratios of 1, its gradient."""
    model, _ = tiny()
    total, value, count = torch.zeros(()), 0.0, 0
    for row, worth in zip(ROWS, WORTH, strict=True):
        ids = [*row.prompt_ids, *row.completion_ids]
        told = model(torch.tensor([ids])).logits[0, :-1].float().log_softmax(-1)
        for place, (token, step) in enumerate(zip(row.completion_ids, row.steps, strict=True)):
            if step in worth:
                total = total - worth[step] * told[len(row.prompt_ids) - 1 + place, token]
                value, count = value - worth[step], count + 1
    (total / count).backward()
    return value / count, {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize(
    "trl",
    [
        {},
        {"gradient_accumulation_steps": 2},
        {"gradient_accumulation_steps": 4},
        {"loss_type": "cispo", "epsilon_high": 5.0},
    ],
    ids=["whole", "two pieces", "four pieces of three rows", "cispo"],
)
def test_the_step_is_that_of_the_replies_alone(trl: dict[str, Any], tmp_path: Path) -> None:
    trainer, model = trainer_on(tmp_path, **trl)
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    trainer.train()
    value, gradient = reference()
    if "loss_type" not in trl:  # its value is another, its gradient the same
        assert trainer.state.log_history[0]["loss"] == pytest.approx(value, abs=1e-5)
    for name, one in model.named_parameters():
        moved = before[name] - one.detach()
        assert torch.allclose(moved, gradient.get(name, torch.zeros_like(one)), atol=2e-6), name
    assert max(float(one.abs().max()) for one in gradient.values()) > 1e-2


def gradient_for(trainer: Any, model: Any, inputs: dict[str, Any], advantages: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of TRL's loss with these advantages."""
    model.zero_grad()
    model.train()
    trainer.current_gradient_accumulation_steps = 1
    trainer._compute_loss(model, {**inputs, "advantages": advantages}).backward()
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Any, Any, dict[str, Any]]:
    """A trainer, its model, and what it hands to TRL's loss."""
    trainer, model = trainer_on(tmp_path)
    model.train()
    return trainer, model, trainer._generate_and_score_completions([{"prompt": "a"}] * 4)


def test_what_the_policy_did_not_write_has_no_gradient(inputs: Any) -> None:
    trainer, model, told = inputs
    trained = told["completion_mask"] * told["tool_mask"]
    others = gradient_for(trainer, model, told, 100.0 * (1 - trained).float())
    assert all(float(one.abs().max()) == 0.0 for one in others.values())
    own = gradient_for(trainer, model, told, trained.float())
    assert max(float(one.abs().max()) for one in own.values()) > 1e-2


def test_one_advantage_for_all_steps_is_that_of_the_row(inputs: Any) -> None:
    trainer, model, told = inputs
    of_rows = torch.tensor([0.5, -2.0, 1.0])
    of_tokens = of_rows[:, None].expand(told["completion_ids"].shape)
    whole, spread = (gradient_for(trainer, model, told, one) for one in (of_rows, of_tokens))
    assert all(torch.equal(one, spread[name]) for name, one in whole.items())


def test_an_update_without_anything_to_learn_changes_nothing(tmp_path: Path) -> None:
    trainer, model = trainer_on(tmp_path, made=lambda: Batch([], []))
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    trainer.train()
    assert all(torch.equal(before[name], one) for name, one in model.named_parameters())


def test_what_is_relied_on_of_trl_is_there(inputs: Any) -> None:
    _, _, told = inputs
    assert "rollout_func" in inspect.signature(GRPOTrainer.__init__).parameters
    assert list(inspect.signature(GRPOTrainer._generate_and_score_completions).parameters) == ["self", "inputs"]
    assert list(inspect.signature(GRPOTrainer._compute_loss).parameters) == ["self", "model", "inputs"]
    assert {
        "prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "tool_mask", "advantages",
        "num_items_in_batch", "sampling_per_token_logps",
    } == told.keys()  # fmt: skip
    rows = len(ROWS)
    assert {one.shape[0] for one in told.values() if one.ndim} == {rows}
    assert told["completion_ids"].shape == told["advantages"].shape == told["tool_mask"].shape
    trained = (told["completion_mask"] * told["tool_mask"]).tolist()
    assert [row[: len(one.steps)] for row, one in zip(trained, ROWS, strict=True)] == [
        [int(step in worth) for step in one.steps] for one, worth in zip(ROWS, WORTH, strict=True)
    ]
    assert int(told["num_items_in_batch"]) == sum(map(sum, trained)) == 7
    for place, row in enumerate(ROWS):
        assert told["prompt_ids"][place][told["prompt_mask"][place] == 1].tolist() == row.prompt_ids
        assert told["completion_ids"][place, : len(row.steps)].tolist() == row.completion_ids
        assert told["sampling_per_token_logps"][place, : len(row.steps)].tolist() == row.logprobs


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"trl": {"loss_type": "grpo"}}, "depends on how episodes are cut into rows; use dapo or cispo"),
        ({"trl": {"importance_sampling_level": "sequence"}}, "use 'token'"),
        ({"trl": {"use_vllm": True}}, "sampled by the engine that serves local policies"),
        ({"trl": {"mask_truncated_completions": True}}, "a reply ends with its action"),
        ({"refresh_every": 3}, "refresh_every is of step-grpo"),
        ({"samples": 1}, "samples"),
    ],
)
def test_what_would_not_be_exact_is_refused(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        episode_arguments(EpisodeConfig(**given), tmp_path)
