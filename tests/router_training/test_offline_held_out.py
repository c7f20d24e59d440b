"""What is kept back is seen in the curves of an offline run, and changes nothing of what is learned."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from router_training.errors import ConfigError
from router_training.trainers.config import OfflineConfig
from router_training.trainers.offline import train_offline
from support.offline_samples import judged, said, tiny, weights_of

FAR = {"method": "offline-grpo", "least_ess": 0, "most_kl": 1e9}
QUICK = {"learning_rate": 3e-3, "per_device_train_batch_size": 4, "num_train_epochs": 2, "use_cpu": True}


def trained(folder: Path, objective: dict, *, has_held: bool = True, **trl: object) -> tuple[Path, list[dict]]:
    model, tokenizer = tiny()
    samples = judged(model, tokenizer)
    held = samples[6:] if has_held else []
    config = OfflineConfig(objective=objective, trl={**QUICK, **trl})
    made = train_offline(samples[:6], config, model, tokenizer, folder, held=held)
    return made, json.loads((made / "history.json").read_text())


@pytest.mark.parametrize("method", ["rft", "awr", "offline-grpo", "dpo", "kto"])
def test_the_held_out_loss_is_in_the_curves_and_the_bits_are_those_without_it(method: str, tmp_path: Path) -> None:
    objective = FAR if method == "offline-grpo" else {"method": method}
    seen, history = trained(tmp_path / "seen", objective)
    bare, nothing = trained(tmp_path / "bare", objective, has_held=False)
    losses = [one["eval_loss"] for one in history if "eval_loss" in one]
    assert len(losses) >= 2 and all(map(math.isfinite, losses))
    assert not any("eval_loss" in one for one in nothing)
    first, second = weights_of(seen), weights_of(bare)
    assert all(torch.equal(each, second[name]) for name, each in first.items())
    assert [one["loss"] for one in history if "loss" in one] == [one["loss"] for one in nothing if "loss" in one]
    card = (seen / "MODEL_CARD.md").read_text()
    assert "eval_loss" in card and "eval_runtime" not in card


def test_the_held_out_loss_of_imitation_is_minus_the_mean_log_prob_of_good_held_out_replies(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder, history = trained(tmp_path, {"method": "rft"}, eval_steps=1, per_device_eval_batch_size=16)
    model, tokenizer = tiny()
    held = [one for one in judged(model, tokenizer)[6:] if one.reward > 0]
    saved = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    logprobs = [each for one in held for each in said(saved, one.sample.prompt_ids, one.sample.completion_ids)]
    last = [one["eval_loss"] for one in history if "eval_loss" in one][-1]
    assert last == pytest.approx(-sum(logprobs) / len(logprobs), abs=1e-4)


def test_it_can_be_switched_off_and_what_teaches_nothing_is_not_looked_at(tmp_path: Path) -> None:
    _, history = trained(tmp_path / "off", {"method": "rft"}, eval_strategy="no")
    assert not any("eval_loss" in one for one in history)

    model, tokenizer = tiny()
    samples = judged(model, tokenizer)
    bad = [replace(one, reward=0.0) for one in samples[6:]]
    config = OfflineConfig(trl=QUICK)
    folder = train_offline(samples[:6], config, model, tokenizer, tmp_path / "bad", held=bad)
    assert "eval_loss" not in (folder / "history.json").read_text()

    with pytest.raises(ConfigError, match="no questions are held out"):
        trained(tmp_path / "no", {"method": "rft"}, has_held=False, eval_strategy="steps")
