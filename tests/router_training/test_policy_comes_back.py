"""What a trainer has made is what the graph loads; and what the graph has said is what a trainer reads, to the bit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, TrainerCallback

from router_graph.protocols import protocol_named
from router_graph.trajectories.compact import compact
from router_graph.trajectories.reader import read_runs
from router_training.data.rendering import Rendering
from router_training.data.samples import samples
from router_training.trainers import loading
from router_training.trainers.anchor import logprobs_of_rows
from router_training.trainers.collate import Collator
from router_training.trainers.config import OfflineConfig
from router_training.trainers.offline import train_offline
from router_training.trainers.online_config import OnlineConfig
from router_training.trainers.refreshing import save_as
from router_training.trainers.rows import dataset, row
from router_training.world.learning import SPOKEN, tasks_of, tokenizer_of
from router_training.world.logs import record
from router_training.world.model import small_model
from router_training.world.poor import Poor
from router_training.world.world import World
from support.offline_samples import judged, tiny

QUICK = {"learning_rate": 1e-2, "max_steps": 3, "use_cpu": True}


class Spy(TrainerCallback):
    """What the model says at the end of training, by the trainer's own way of asking."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.logprobs: list[tuple[int, torch.Tensor]] = []

    def on_train_end(self, args: Any, state: Any, control: Any, *, model: Any = None, **_: Any) -> None:
        self.logprobs = logprobs_of_rows(model, self.rows, Collator(0), batch_size=4)


@pytest.mark.parametrize("method", ["rft", "dpo", "offline-grpo"])
def test_a_policy_that_is_saved_and_loaded_says_what_it_said_in_the_trainer(method: str, tmp_path: Path) -> None:
    model, tokenizer = tiny()
    found = judged(model, tokenizer)
    rows = [{**row(one.sample), "row": at} for at, one in enumerate(found)]
    spy = Spy(rows)
    before = logprobs_of_rows(model, rows, Collator(0), batch_size=4)
    far = {"least_ess": 0, "most_kl": 1e9} if method == "offline-grpo" else {}
    config = OfflineConfig(objective={"method": method, **far}, trl=QUICK)
    folder = train_offline(found, config, model, tokenizer, tmp_path / "policy", callbacks=[spy])

    saved = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    after = logprobs_of_rows(saved, rows, Collator(0), batch_size=4)
    for (_, one), (_, other), (_, old) in zip(spy.logprobs, after, before, strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, old)


@pytest.mark.parametrize("method", ["rft", "dpo"])
def test_a_model_that_was_trained_is_trained_on_by_its_own_weights(method: str, tmp_path: Path) -> None:
    model, tokenizer = tiny()
    found = judged(model, tokenizer)
    config = OfflineConfig(objective={"method": method}, trl=QUICK)
    train_offline(found, config, model, tokenizer, tmp_path / "first")

    model, tokenizer = loading.load(model, tokenizer, config)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
        logits = other(torch.tensor([[1, 2, 3]])).logits
    assert float(logits.abs().max()) == 0  # TRL's forward would run the original's weights


def test_what_a_policy_said_in_the_graph_is_in_the_data_set_to_the_bit(tmp_path: Path) -> None:
    world = World()
    first = record(world, Poor(), tasks_of(world.questions(), 4, seed=0), tmp_path / "poor")
    tokenizer = tokenizer_of(world, first)
    (tmp_path / "policy").mkdir()
    model = small_model(tokenizer, width=16, layers=1)
    save_as(model, None, tokenizer, tmp_path / "policy", OnlineConfig(policy=SPOKEN))
    said = record(world, f"local:{tmp_path / 'policy'}", tasks_of(world.questions(), 4, seed=0), tmp_path / "log")
    compact(tmp_path / "log", tmp_path / "parquet")

    rendering = Rendering(tokenizer, protocol_named("brief"))
    by_source = []
    for source in ("log", "parquet"):
        found = samples(list(read_runs(tmp_path / source)), rendering)
        made = sorted(found, key=lambda one: (one.run_id, one.number))
        by_source.append(dataset([row(one) for one in made]).to_list())
    assert by_source[0] == by_source[1]

    calls = {(run.run_id, one.number): one.call["tokens"] for run in said for one in run.steps if one.call is not None}
    assert calls
    by_step = {(one.run_id, one.number): one for one in samples(said, rendering)}
    for key, tokens in calls.items():
        if key in by_step:
            assert by_step[key].prompt_ids == tokens["prompt_ids"]
            assert by_step[key].completion_ids == tokens["completion_ids"]
            assert by_step[key].logprobs == tokens["logprobs"]
    assert calls.keys() & by_step.keys()
