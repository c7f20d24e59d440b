"""Training from a log, from samples to a folder: the same again, broken off and resumed, whole or as an adapter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from router_graph.policies.local import PolicyCard, load_policy
from router_training.data.samples import Left
from router_training.errors import ConfigError, DataError
from router_training.trainers.config import OfflineConfig
from router_training.trainers.offline import train_offline
from router_training.trainers.rows import Judged
from support.offline_samples import judged, said, tiny, weights_of

QUICK = {"learning_rate": 3e-3, "per_device_train_batch_size": 4, "num_train_epochs": 2}
FAR = {"method": "offline-grpo", "least_ess": 0, "most_kl": 1e9}
METHODS = ["rft", "awr", "offline-grpo", "dpo", "kto"]


def config(method: str | dict[str, Any] = "rft", **settings: Any) -> OfflineConfig:
    objective = {"method": method} if isinstance(method, str) else method
    if objective["method"] == "offline-grpo":
        objective = {**FAR, **objective}
    return OfflineConfig(**{"objective": objective, "trl": QUICK, **settings})


def trained(folder: Path, settings: OfflineConfig, **options: Any) -> Path:
    """A policy from the tiny model and its samples."""
    model, tokenizer = tiny()
    return train_offline(judged(model, tokenizer), settings, model, tokenizer, folder, **options)


def same(one: Path, other: Path) -> bool:
    first, second = weights_of(one), weights_of(other)
    return first.keys() == second.keys() and all(torch.equal(each, second[name]) for name, each in first.items())


def likes(folder: Path, samples: list[Judged]) -> float:
    """By how much the log-prob of right replies is above that of wrong ones, on the average, in nats."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    right, wrong = [], []
    for one in samples:
        (right if one.reward else wrong).append(sum(said(model, one.sample.prompt_ids, one.sample.completion_ids)))
    return sum(right) / len(right) - sum(wrong) / len(wrong)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_moves_the_policy_towards_what_was_right(method: str, tmp_path: Path) -> None:
    model, tokenizer = tiny()
    samples = judged(model, tokenizer)
    model.save_pretrained(tmp_path / "before")
    before = likes(tmp_path / "before", samples)
    longer = {**QUICK, "learning_rate": 5e-3, "num_train_epochs": 30 if method in ("rft", "awr") else 6}
    objective = {"method": "awr", "tau": 0.2} if method == "awr" else method
    folder = trained(tmp_path / "after", config(objective, trl=longer))
    assert likes(folder, samples) > before + 2
    card = PolicyCard.read(folder)
    assert card.learned["method"] == method
    assert card.learned["config"]["objective"]["method"] == method


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bits(method: str, tmp_path: Path) -> None:
    assert same(trained(tmp_path / "a", config(method)), trained(tmp_path / "b", config(method)))


def test_another_seed_gives_others(tmp_path: Path) -> None:
    assert not same(trained(tmp_path / "a", config("awr")), trained(tmp_path / "b", config("awr", seed=1)))


@pytest.mark.parametrize(
    ("method", "every"), [("rft", 1), ("awr", 2), ("awr", 4), ("offline-grpo", 3), ("dpo", 1), ("kto", 2)]
)
def test_a_run_that_was_broken_off_ends_with_the_same_bits(method: str, every: int, tmp_path: Path) -> None:
    settings = config(method, save={"every": every, "keep": 9})
    straight = trained(tmp_path / "straight", settings)
    broken = tmp_path / "broken"
    shutil.copytree(straight / "checkpoints", broken / "checkpoints")
    first, *later = sorted((broken / "checkpoints").glob("checkpoint-*"), key=lambda one: int(one.name[11:]))
    for one in later:
        shutil.rmtree(one)
    assert not same(first, straight) if (first / "model.safetensors").exists() else True
    assert same(trained(broken, settings, resume=True), straight)


def test_a_checkpoint_within_an_epoch_is_refused_where_it_would_not_give_the_same_bits(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"save\.every is 2; .* only where an epoch ends, .* multiple of 3"):
        trained(tmp_path / "a", config("offline-grpo", save={"every": 2}))
    done = trained(tmp_path / "b", config("offline-grpo", save={"every": 3}))
    (done / "checkpoints" / "checkpoint-6").rename(done / "checkpoints" / "checkpoint-5")
    with pytest.raises(ConfigError, match=r"step 5 lies within an epoch of 3 updates"):
        trained(done, config("offline-grpo", save={"every": 3}), resume=True)


def test_a_checkpoint_that_never_comes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"save\.every is 100, and the run has 6 updates"):
        trained(tmp_path, config("awr", save={"every": 100}))


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no checkpoint to go on from"):
        trained(tmp_path / "none", config(), resume=True)
    done = trained(tmp_path / "a", config("awr", save={"every": 1}))
    with pytest.raises(ConfigError, match="trained with another 'seed'"):
        trained(done, config("awr", save={"every": 1}, seed=1), resume=True)
    model, tokenizer = tiny()
    fewer = judged(model, tokenizer)[:-3]
    with pytest.raises(ConfigError, match="trained on other data"):
        train_offline(fewer, config("awr", save={"every": 1}), model, tokenizer, done, resume=True)


def test_a_checkpoint_that_was_being_written_is_passed_over(tmp_path: Path) -> None:
    settings = config("awr", save={"every": 2, "keep": 9})
    straight = trained(tmp_path / "straight", settings)
    shutil.copytree(straight / "checkpoints", tmp_path / "killed" / "checkpoints")
    torn = tmp_path / "killed" / "checkpoints" / "checkpoint-6"
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"):
        (torn / name).unlink()
    assert same(trained(tmp_path / "killed", settings, resume=True), straight)


def test_what_a_run_left_behind_is_not_mixed_with_another(tmp_path: Path) -> None:
    done = trained(tmp_path / "a", config("awr", save={"every": 2}))
    shutil.copytree(done / "checkpoints", tmp_path / "broken" / "checkpoints")
    with pytest.raises(ConfigError, match="the checkpoints of a run that broke off; go on from them with resume"):
        trained(tmp_path / "broken", config("awr", seed=1))


def test_a_model_is_never_written_over(tmp_path: Path) -> None:
    model, tokenizer = tiny()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    was = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="holds a model, which would be written over"):
        trained(tmp_path, config())
    assert (tmp_path / "model.safetensors").read_bytes() == was
    with pytest.raises(ConfigError, match="is a file; give a folder"):
        trained(tmp_path / "config.json", config())


def test_a_policy_is_never_written_over(tmp_path: Path) -> None:
    trained(tmp_path, config())
    with pytest.raises(ConfigError, match="holds a policy already"):
        trained(tmp_path, config())


def test_an_adapter_loads_into_the_graph_and_says_the_same_merged_or_beside_its_base(tmp_path: Path) -> None:
    model, tokenizer = tiny()
    samples = judged(model, tokenizer)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    apart = {}
    for merge in (True, False):
        settings = config("awr", lora={"rank": 4, "merge": merge})
        folder = train_offline(samples, settings, tmp_path / "base", None, tmp_path / f"merged-{merge}")
        assert (folder / "adapter_config.json").exists() is not merge
        assert load_policy(folder).version.endswith(PolicyCard.read(folder).weights[:8])
        apart[merge] = likes(folder, samples)
    assert apart[True] == pytest.approx(apart[False], abs=1e-3)
    assert abs(apart[True] - likes(tmp_path / "base", samples)) > 0.1


def test_an_adapter_that_would_lose_its_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"give the model as a folder, or set lora\.merge"):
        trained(tmp_path, config("rft", lora={"merge": False}))


def test_a_changed_weight_is_noticed_when_the_policy_is_loaded(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from router_graph.errors import SettingsError

    folder = trained(tmp_path, config())
    load_policy(folder)
    changed = {name: each.contiguous() for name, each in weights_of(folder).items()}
    next(iter(changed.values())).view(-1)[0] += 1
    save_file(changed, next(folder.glob("*.safetensors")), metadata={"format": "pt"})
    with pytest.raises(SettingsError, match=r"weights in .* are not those"):
        load_policy(folder)


def test_training_stops_where_the_log_says_no_more_about_the_policy(tmp_path: Path) -> None:
    objective = {"method": "offline-grpo", "least_ess": 0.9, "most_kl": 1e9}
    many = {**QUICK, "learning_rate": 1e-2, "num_train_epochs": 20}
    folder = trained(tmp_path, config(objective, trl=many))
    learned = PolicyCard.read(folder).learned
    assert "effective share of samples is 0." in learned["stopped"]
    assert learned["figures"]["updates"] < 60
    assert learned["figures"]["updates"] % 3 == 0
    history = json.loads((folder / "history.json").read_text())
    shares = [one["ess"] for one in history if "ess" in one]
    assert shares[0] == pytest.approx(1.0, abs=1e-3)
    assert all(one >= 0.9 for one in shares[:-1])
    assert shares[-1] < 0.9
    assert "Stopped early" in (folder / "MODEL_CARD.md").read_text()


def test_the_card_says_how_the_policy_came_about(tmp_path: Path) -> None:
    left = Left()
    settings = config(
        "rft",
        reward={"version": "verifiable-1234"},
        policy={"name": "small | one", "protocol": "brief", "temperature": 0.5},
    )
    evaluation = {"f1": 0.5, "note": "<b>bold</b>\u0007"}
    folder = trained(tmp_path, settings, left=left, about={"evaluation": evaluation})
    card = PolicyCard.read(folder)
    assert (card.protocol, card.temperature, card.thinks) == ("brief", 0.5, False)
    assert card.learned["reward"] == "verifiable-1234"
    assert card.learned["samples"] == 4
    assert card.learned["left_out"] == "8 with a reward of 0 or less"
    assert card.learned["evaluation"] == evaluation
    assert {"torch", "trl", "transformers"} <= card.learned["software"].keys()
    text = (folder / "MODEL_CARD.md").read_text()
    assert card.learned["data"] in text
    assert card.weights in text
    assert "small \\| one" in text
    assert "\u0007" not in text
    assert (folder / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_nothing_of_pickle_is_left_in_the_folder_of_the_policy(tmp_path: Path) -> None:
    folder = trained(tmp_path, config())
    assert not [one for one in folder.iterdir() if one.suffix in (".bin", ".pt", ".pth", ".pkl")]


def test_a_log_that_is_far_from_the_model_is_refused_before_an_update(tmp_path: Path) -> None:
    objective = {"method": "offline-grpo", "most_kl": 1e9, "least_ess": 0.9}
    data = {"most_difference": 99}
    model, tokenizer = tiny()
    samples = judged(model, tokenizer)
    other = tiny(seed=1)[0]
    with pytest.raises(DataError, match="Nothing can be learned from this log"):
        train_offline(samples, config(objective, data=data), other, tokenizer, tmp_path)
