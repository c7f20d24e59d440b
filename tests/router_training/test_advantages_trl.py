"""Our advantages are TRL's own numbers: those that its trainers compute for the same rewards."""

from __future__ import annotations

import ast
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from router_training.credit.advantages import TRL, TRL_ASYNC, Convention, group_relative, normalised_parts

SIZE, GROUP = 24, 4
GROUPS = np.repeat(np.arange(SIZE // GROUP), GROUP)
RANDOM = np.random.default_rng(0)
PARTS = RANDOM.normal(size=(SIZE, 2)) * [1.0, 30.0]
PARTS[4:8, 0] = 0.5  # a group without spread in one part
PARTS[8:12] = [1.0, 2.0]  # and one without spread in both
PARTS[13, 0] = math.nan  # a part that does not apply
PARTS[17] = math.nan  # a sample to which none applies
WEIGHTS = [1.0, 0.25]


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory):
    """The advantages of a GRPOTrainer with these options, for the rewards in `PARTS`."""
    pytest.importorskip("trl")
    from datasets import Dataset
    from transformers import Qwen2Config, Qwen2ForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    from support.tiny_engine import byte_tokenizer

    tokenizer = byte_tokenizer()
    tokenizer.padding_side = "left"
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip

    def part(column):
        def reward(prompts, **_):
            return [None if math.isnan(one) else float(one) for one in PARTS[:, column]]

        reward.__name__ = f"part_{column}"
        return reward

    def advantages(**options):
        trainer = GRPOTrainer(
            model=Qwen2ForCausalLM(config),
            reward_funcs=[part(0), part(1)],
            args=GRPOConfig(
                output_dir=str(tmp_path_factory.mktemp("trl")), per_device_train_batch_size=SIZE, num_generations=GROUP,
                max_completion_length=2, reward_weights=WEIGHTS, use_cpu=True, bf16=False, report_to=[],
                gradient_checkpointing=False, **options,
            ),
            train_dataset=Dataset.from_list([{"prompt": "a"}] * SIZE),
            processing_class=tokenizer,
        )  # fmt: skip
        batch = trainer._generate_and_score_completions([{"prompt": f"{n // GROUP}"} for n in range(SIZE)])
        return batch["advantages"].double().numpy()

    return advantages


def summed():
    total = np.nansum(PARTS * WEIGHTS, axis=1)
    total[np.isnan(PARTS).all(axis=1)] = math.nan
    return total


@pytest.mark.parametrize("by", ["group", "batch", "none"])
def test_rewards_are_made_relative_as_grpo_trainer_does(trained_on, by):
    theirs = trained_on(scale_rewards=by)
    ours = group_relative(summed(), GROUPS, Convention(by))
    assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    assert (ours[8:12] == 0.0).all() and ours[17] == 0.0 and np.abs(theirs).max() > 0.1


def test_parts_are_normalised_before_they_are_summed_as_grpo_trainer_does(trained_on):
    theirs = trained_on(multi_objective_aggregation="normalize_then_sum")
    assert normalised_parts(PARTS, GROUPS, WEIGHTS, TRL) == pytest.approx(theirs, rel=1e-4, abs=1e-5)


def test_a_group_is_made_relative_as_async_grpo_does():
    """The lines of its worker that do it, run as they stand: the worker itself needs a GPU."""
    package = importlib.util.find_spec("trl")
    if package is None or package.origin is None:
        pytest.skip("TRL is not installed")
    worker = Path(package.origin).parent / "experimental" / "async_grpo" / "async_rollout_worker.py"
    tree = ast.parse(worker.read_text(encoding="utf-8"))
    lines = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.If)
        and ast.unparse(node).startswith(("scored_mask =", "advantages = np.", "if scored_mask.any()"))
    ]
    assert len(lines) == 3
    rewards = summed()
    for group in range(SIZE // GROUP):
        values = {"np": np, "rewards": rewards[group * GROUP : (group + 1) * GROUP]}
        exec(compile(ast.Module([*sorted(lines, key=lambda node: node.lineno)], []), str(worker), "exec"), values)
        ours = group_relative(values["rewards"], np.zeros(GROUP, dtype=int), TRL_ASYNC)
        assert ours == pytest.approx(values["advantages"], rel=1e-9, abs=1e-9)
