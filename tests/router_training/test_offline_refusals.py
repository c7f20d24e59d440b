"""What cannot be trained is said in one sentence, before anything is."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router_training.errors import ConfigError, DataError, TokensError
from router_training.trainers.config import OfflineConfig, OfflineGrpo, Rft
from router_training.trainers.offline import train_offline
from router_training.trainers.online_config import OnlineConfig
from router_training.trainers.verify import check_logprobs, difference
from support.offline_samples import judged, tiny


def train(folder: Path, settings: dict[str, Any], change: Any = lambda one: one, model: Any = None) -> None:
    own, tokenizer = tiny()
    samples = [change(one) for one in judged(own, tokenizer)]
    train_offline(samples, OfflineConfig(**settings), model or own, tokenizer, folder)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"objectve": {}}, r"'objectve' is no known key; did you mean 'objective'\?"),
        ({"objective": {"method": "ppo"}}, "ppo"),
        ({"objective": {"method": "rft", "abov": 1}}, "abov"),
        ({"seed": -1}, "seed is -1"),
        ({"data": {"sampled_at": -1}}, "sampled_at"),
        ({"save": {"every": 0}}, "every"),
        ({"objective": {"method": "offline-grpo", "anchor": "log"}}, "for one epoch at most"),
        ({"objective": {"method": "offline-grpo", "anchor": "log"}, "trl": {"num_train_epochs": 2}}, "one epoch"),
        (
            {"objective": {"method": "offline-grpo", "anchor": "log"}, "trl": {"num_train_epochs": 1, "max_steps": 9}},
            "one",
        ),
    ],
)
def test_a_setting_that_is_wrong_is_named_in_one_sentence(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        OfflineConfig(**settings)
    assert "\n" not in str(caught.value)


def test_the_naive_form_is_allowed_for_one_epoch(tmp_path: Path) -> None:
    naive = {"method": "offline-grpo", "anchor": "log", "least_ess": 0, "most_kl": 1e9}
    train(tmp_path, {"objective": naive, "trl": {"num_train_epochs": 1, "per_device_train_batch_size": 4}})


@pytest.mark.parametrize(
    ("trl", "said"),
    [
        ({"learning_rte": 1}, r"trl\.learning_rte is no argument of SFTConfig; did you mean 'learning_rate'\?"),
        ({"output_dir": "x"}, r"trl\.output_dir cannot be set here"),
        ({"report_to": "all"}, "nothing is sent anywhere"),
        ({"hub_token": "hf_secret"}, r"hub_token cannot be set here: nothing is sent anywhere"),
        ({"save_steps": 3}, r"set save\.every"),
        ({"dataset_kwargs": {}}, "the method sets it"),
        ({"bf16": True}, "trains in float32"),
        ({"lr_scheduler_type": "spiral"}, "trl: .*spiral"),
        ({"learning_rate": "fast"}, "trl.learning_rate is 'fast'; it must be a valid number"),
        ({"learning_rate": math.nan}, "trl.learning_rate is nan; it must be a finite number"),
        ({"num_train_epochs": None}, "trl.num_train_epochs is None; it must be a valid number"),
        ({"max_steps": [3]}, r"trl.max_steps is \[3\]; it must be a valid integer"),
        ({"per_device_train_batch_size": 0}, "trl.per_device_train_batch_size is 0; it must be 1 or more"),
    ],
)
def test_an_argument_of_trl_that_is_wrong_is_named(trl: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        train(tmp_path, {"trl": trl})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.safetensors"))


def test_samples_that_are_longer_than_the_model_takes_are_refused_or_left_out(tmp_path: Path) -> None:
    short = tiny(max_position_embeddings=8)[0]
    with pytest.raises(DataError, match=r"6 of 12 samples are longer than the 8 tokens .* longest has 12"):
        train(tmp_path / "a", {}, model=short)
    train(tmp_path / "b", {"data": {"most_tokens": 8}, "trl": {"max_steps": 1}}, model=short)
    with pytest.raises(DataError, match=r"no sample to train on \(12 longer than 2 tokens left out\)"):
        train(tmp_path / "c", {"data": {"most_tokens": 2}})


def test_tokens_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    def foreign(one: Any) -> Any:
        return replace(one, sample=replace(one.sample, prompt_ids=[5, 151_643]))

    with pytest.raises(TokensError, match=r"the token 151,643, and this tokenizer with its model knows 309"):
        train(tmp_path, {}, foreign)


def test_recorded_log_probs_are_those_of_the_model_to_four_digits() -> None:
    model, tokenizer = tiny()
    found = difference([one.sample for one in judged(model, tokenizer, temperature=0.7)], model, temperature=0.7)
    assert found.samples == 12
    assert found.most < 1e-4


@pytest.mark.parametrize("settings", [{"objective": {"method": "offline-grpo"}}, {"data": {"verify": True}}])
def test_a_log_of_other_weights_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TokensError, match="sampled with other weights, another tokenizer or another temperature"):
        train(tmp_path, settings, model=tiny(seed=1)[0])
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_log_of_another_temperature_is_refused() -> None:
    model, tokenizer = tiny()
    samples = [one.sample for one in judged(model, tokenizer, temperature=0.5)]
    check_logprobs(samples, model, temperature=0.5)
    with pytest.raises(TokensError, match=r"data\.sampled_at"):
        check_logprobs(samples, model, temperature=1.0)
    with pytest.raises(DataError, match="No sample has recorded log-probs"):
        check_logprobs([replace(one, logprobs=None) for one in samples], model)


def test_other_weights_do_not_matter_to_a_method_that_does_not_use_the_log_probs(tmp_path: Path) -> None:
    train(tmp_path, {"trl": {"max_steps": 1}}, model=tiny(seed=1)[0])


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ({"method": "kto", "above": 5}, "None of 12 samples have a reward of more than 5"),
        ({"method": "kto", "above": -5}, "All of 12 samples have a reward of more than -5"),
        ({"method": "dpo", "margin": 5}, "In none of 4 states do the rewards of two replies differ by 5"),
        ({"method": "rft", "above": 5}, "None of 12 samples has a reward of more than 5"),
    ],
)
def test_a_log_that_teaches_a_method_nothing_is_refused(objective: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        train(tmp_path, {"objective": objective})


@pytest.mark.parametrize("targets", ["nothing", ["nothing"]])
def test_an_adapter_of_layers_that_the_model_lacks_is_refused(targets: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"names no layer of the model; it has .*q_proj.* or take"):
        train(tmp_path, {"lora": {"targets": targets}})


@pytest.mark.parametrize("settings", [{"seed": 2**32}, {"threads": 100_000}])
def test_a_number_that_a_library_breaks_on_is_refused(settings: dict[str, Any]) -> None:
    for kind in (OfflineConfig, OnlineConfig):
        with pytest.raises(ConfigError, match="less than"):
            kind(**settings)


def test_a_damaged_model_is_refused_and_so_is_one_without_all_of_its_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model, tokenizer = tiny()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    tensors = load_file(weights)
    tensors.pop(next(key for key in tensors if "norm" in key))
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lack 1 of the model's tensors, such as .*norm"):
        train(tmp_path / "a", {}, model=tmp_path)
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        train(tmp_path / "a", {}, model=tmp_path)


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_tokenizer_without_an_end_is_refused_where_it_is_needed(method: str, tmp_path: Path) -> None:
    model, tokenizer = tiny()
    samples = judged(model, tokenizer)
    tokenizer.eos_token = None
    with pytest.raises(ConfigError, match=f"no token that ends a reply, which {method} needs"):
        train_offline(samples, OfflineConfig(objective={"method": method}), model, tokenizer, tmp_path)


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be loaded"):
        train(tmp_path / "a", {}, model=tmp_path)


def test_nothing_is_told_to_anybody_and_torch_is_not_imported_before_it_is_needed() -> None:
    script = (
        "import sys, router_training.trainers.offline, router_training.trainers.saving\n"
        "assert not {'torch', 'trl', 'transformers', 'datasets'} & sys.modules.keys(), 'imported early'\n"
        "import huggingface_hub.constants as constants\n"
        "assert not constants.HF_HUB_DISABLE_TELEMETRY\n"
        "from router_training.trainers.environment import quieten\n"
        "quieten()\n"
        "import os, huggingface_hub.utils._telemetry as sending\n"
        "assert constants.HF_HUB_DISABLE_TELEMETRY and os.environ['HF_HUB_DISABLE_TELEMETRY'] == '1'\n"
        "sending.send_telemetry('test')\n"
        "assert sending._TELEMETRY_QUEUE.empty()\n"
    )
    kept = {
        key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")
    }
    outcome = subprocess.run(
        [sys.executable, "-c", script],
        env={**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]


def test_settings_are_json_and_read_back_as_the_same() -> None:
    settings = OfflineConfig(objective=Rft(above=-math.inf), lora={"rank": 2}, trl={"learning_rate": 1e-4})
    written = json.dumps(settings.as_json(), allow_nan=False)
    assert OfflineConfig(**json.loads(written)) == settings
    assert OfflineConfig.model_validate(json.loads(written)) == settings
    assert OfflineGrpo().least_ess == 0.3
