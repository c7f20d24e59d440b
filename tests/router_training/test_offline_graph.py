"""From the graph to a log, from the log to a policy, and from there into the graph: the tokens stay what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from router_graph.policies.local import load_policy
from router_graph.protocols import protocol_named
from router_training.data.rendering import Rendering
from router_training.data.samples import samples
from router_training.trainers.config import OfflineConfig, Rft, Spoken
from router_training.trainers.offline import train_offline
from router_training.trainers.rows import Judged
from router_training.trainers.verify import difference
from router_training.world.learning import tasks_of, tokenizer_of
from router_training.world.logs import record
from router_training.world.model import small_model
from router_training.world.poor import Poor
from router_training.world.world import World
from support.offline_samples import with_advantages

SPOKEN = Spoken(name="small", protocol="brief", temperature=1.0, max_tokens=16)
QUICK = {"per_device_train_batch_size": 16, "learning_rate": 5e-3, "use_cpu": True}


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: Any) -> tuple[World, Path, list[Any]]:
    """A policy that has learned to speak, and the runs of a graph that it decided."""
    folder = tmp_path_factory.mktemp("speaker")
    world = World()
    tasks = tasks_of(world.questions(), 16, seed=0)
    runs = record(world, Poor(), tasks, folder / "poor", times=2)
    tokenizer = tokenizer_of(world, runs)
    rendering = Rendering(tokenizer, protocol_named("brief"))
    spoken = [Judged(one, 1.0, one.question_id) for one in samples(runs, rendering)]
    settings = OfflineConfig(objective=Rft(), policy=SPOKEN, trl={**QUICK, "max_steps": 40})
    model = small_model(tokenizer, width=48, layers=2)
    policy = train_offline(spoken, settings, model, tokenizer, folder / "policy")
    return world, policy, record(world, load_policy(policy), tasks, folder / "own", times=2, seed=5)


def test_what_was_sampled_in_the_graph_is_what_is_trained(speaker: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    world, policy, runs = speaker
    tokenizer = AutoTokenizer.from_pretrained(policy)
    found = list(samples(runs, Rendering(tokenizer, protocol_named("brief"))))
    assert len(found) > 20
    assert all(one.logprobs is not None for one in found)
    recorded = {(one.run_id, one.number): one.call["tokens"] for run in runs for one in run.steps if one.call}
    for one in found:
        tokens = recorded[one.run_id, one.number]
        assert tokens is not None
        assert (one.prompt_ids, one.completion_ids) == (tokens["prompt_ids"], tokens["completion_ids"])
    model = AutoModelForCausalLM.from_pretrained(policy, dtype="float32")
    apart = difference(found, model)
    assert apart.samples == min(len(found), 64)
    assert apart.most < 1e-4

    rewarded = with_advantages([Judged(one, float(one.target.startswith("kb:")), "any") for one in found])
    settings = OfflineConfig(
        objective={"method": "offline-grpo"},
        policy=SPOKEN,
        trl={**QUICK, "learning_rate": 1e-3, "num_train_epochs": 2},
    )
    learned = train_offline(rewarded, settings, policy, None, tmp_path / "learned")
    again = record(world, load_policy(learned), tasks_of(world.questions(), 4, seed=9), tmp_path / "log")
    assert len(again) == 4
    tokens = again[0].steps[0].call["tokens"]  # type: ignore[index]
    assert tokens is not None
    assert tokens["model"] == load_policy(learned).version.rpartition("-")[2] + tokens["model"][8:]
    assert tokens["tokenizer"] == recorded[found[0].run_id, found[0].number]["tokenizer"]  # type: ignore[index]
