"""A run of step-grpo that was broken off goes on to the same bits, or is told that it cannot."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import pytest
import torch

from router_graph.policies.local import PolicyCard
from router_graph.protocols import protocol_named
from router_training.data.rendering import Rendering
from router_training.data.samples import Left
from router_training.data.splits import questions_fingerprint
from router_training.errors import ConfigError
from router_training.trainers.config import Save
from router_training.trainers.online_config import OnlineConfig, check_boundaries, grpo_arguments
from router_training.trainers.online_pages import Pages, Rounds
from router_training.trainers.online_states import State
from router_training.trainers.step_grpo import train_step_grpo
from router_training.world.learning import SPOKEN, tasks_of, tokenizer_of
from router_training.world.logs import record
from router_training.world.model import small_model
from router_training.world.poor import Poor
from router_training.world.world import World
from support.offline_samples import weights_of

WORLD = World()
CPU = {"use_cpu": True, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return record(WORLD, Poor(), tasks_of(WORLD.questions(), 8, seed=0), tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def tokenizer(runs):
    return tokenizer_of(WORLD, runs)


async def lively(state: State, reply: str) -> float:
    """What is worth something whatever a random model says, so that each update moves it."""
    return zlib.crc32(f"{state.run.question} {reply}".encode()) % 7


def trained(runs, tokenizer, folder: Path, *, resume: bool = False, held=(), **settings) -> Path:
    """A policy of a tiny model, whose states are recorded anew by real runs of the graph."""
    told = {"updates": 5, "samples": 2, "groups": 2, "longest_reply": 8, "policy": SPOKEN, "trl": CPU, **settings}
    config = OnlineConfig(**told)

    def collect(policy: Path, number: int):
        place = folder.with_name(f"{folder.name}-again-{number}-{resume}")
        return record(WORLD, f"local:{policy}", tasks_of(WORLD.questions(), 4, seed=number), place)

    model = small_model(tokenizer, width=16, layers=1)
    return train_step_grpo(runs, lively, config, model, tokenizer, folder, collect=collect, resume=resume, held=held)


def same(one: Path, other: Path) -> bool:
    first, second = weights_of(one), weights_of(other)
    return first.keys() == second.keys() and all(torch.equal(each, second[name]) for name, each in first.items())


def broken_off(straight: Path, folder: Path, after: int) -> Path:
    """What a run leaves that was killed some time after this checkpoint."""
    shutil.copytree(straight / "checkpoints", folder / "checkpoints")
    for one in (folder / "checkpoints").glob("checkpoint-*"):
        if int(one.name[11:]) > after:
            shutil.rmtree(one)
    return folder


@pytest.mark.parametrize("refresh", [None, 2])
def test_a_run_that_was_broken_off_ends_with_the_same_bits(runs, tokenizer, refresh, tmp_path: Path):
    settings = {"updates": 4, "refresh_every": refresh, "save": {"every": 1, "keep": 9}}
    straight = trained(runs, tokenizer, tmp_path / "straight", **settings)
    for after in (1, 3) if refresh else (2,):  # before states are recorded anew, and after
        broken = broken_off(straight, tmp_path / f"broken{after}", after)
        assert not same(broken / "checkpoints" / f"checkpoint-{after}", straight)
        assert same(trained(runs, tokenizer, broken, resume=True, **settings), straight), after
    told = json.loads((broken / "history.json").read_text()), json.loads((straight / "history.json").read_text())
    rewards = [[one["reward"] for one in history if "reward" in one] for history in told]
    assert rewards[0] == rewards[1] and len(rewards[0]) == 4


def test_replies_that_are_trained_on_for_several_updates_are_resumed_where_new_ones_are_sampled(
    runs, tokenizer, tmp_path: Path
):
    settings = {"trl": {**CPU, "num_iterations": 2}, "updates": 4}
    straight = trained(runs, tokenizer, tmp_path / "straight", save={"every": 2, "keep": 9}, **settings)
    broken = broken_off(straight, tmp_path / "broken", 2)
    assert same(trained(runs, tokenizer, broken, resume=True, save={"every": 2, "keep": 9}, **settings), straight)

    with pytest.raises(ConfigError, match=r"save\.every is 3; .* every 2 updates: set a multiple of 2") as caught:
        trained(runs, tokenizer, tmp_path / "no", save={"every": 3}, **settings)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("trl", "apart"),
    [
        ({}, 1),
        ({"gradient_accumulation_steps": 4}, 1),
        ({"steps_per_generation": 4}, 4),
        ({"steps_per_generation": 4, "gradient_accumulation_steps": 2}, 2),
        ({"steps_per_generation": 3, "gradient_accumulation_steps": 2, "num_iterations": 1}, 3),
        ({"num_iterations": 3}, 3),
    ],
)
def test_where_a_round_of_replies_begins_with_an_update(trl, apart, tmp_path: Path):
    config = OnlineConfig(samples=2, groups=2, updates=12, save={"every": apart}, trl={"use_cpu": True, **trl})
    rounds = Rounds.of(grpo_arguments(config, tmp_path))
    assert rounds.apart == apart
    check_boundaries(config, rounds)
    if apart > 1:
        with pytest.raises(ConfigError, match="sampled anew"):
            check_boundaries(config.model_copy(update={"save": Save(every=apart + 1)}), rounds)
    starts = {rounds.update_of(slot) for slot in range(rounds.states(12))}
    assert starts >= set(range(0, 12, apart))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"seed": 1}, "another 'seed'"),
        ({"temperature": 0.7}, "another 'temperature'"),
        ({"save": {"every": 99}}, "nothing would be kept"),
        ({"trl": {**CPU, "sync_ref_model": True}}, "the reference is not in them"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(runs, tokenizer, changed, says, tmp_path: Path):
    (tmp_path / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    (tmp_path / "checkpoints" / "checkpoint-1" / "trainer_state.json").touch()
    was = OnlineConfig(updates=5, samples=2, groups=2, longest_reply=8, policy=SPOKEN, trl=CPU, save={"every": 1})
    mark = {"data": _data_of(runs, tokenizer), "config": was.as_json()}
    (tmp_path / "checkpoints" / "run.json").write_text(json.dumps(mark))
    with pytest.raises(ConfigError, match=says):
        trained(runs, tokenizer, tmp_path, resume=True, **{"save": {"every": 1}, **changed})


def test_a_checkpoint_of_other_data_and_none_at_all_are_refused(runs, tokenizer, tmp_path: Path):
    with pytest.raises(ConfigError, match="no checkpoint to go on from"):
        trained(runs, tokenizer, tmp_path / "none", resume=True, save={"every": 1})
    (tmp_path / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    (tmp_path / "checkpoints" / "checkpoint-1" / "trainer_state.json").touch()
    (tmp_path / "checkpoints" / "run.json").write_text('{"data": "0123", "config": {}}')
    with pytest.raises(ConfigError, match="trained on other data"):
        trained(runs, tokenizer, tmp_path, resume=True, save={"every": 1})


def test_what_is_held_out_is_seen_in_the_curves_and_in_the_card_which_questions_were_learned_from(
    runs, tokenizer, tmp_path: Path
):
    learned, held = runs[:5], runs[5:]
    folder = trained(learned, tokenizer, tmp_path / "a", held=held, updates=2)
    history = json.loads((folder / "history.json").read_text())
    assert sum("eval_reward" in one for one in history) == 2
    assert "eval_reward" in (folder / "MODEL_CARD.md").read_text()
    assert "eval_runtime" not in (folder / "MODEL_CARD.md").read_text()
    card = PolicyCard.read(folder).learned
    assert card["questions"] == questions_fingerprint(learned)
    assert card["figures"]["groups"] == 4

    silent = trained(learned, tokenizer, tmp_path / "b", held=held, updates=2, trl={**CPU, "eval_strategy": "no"})
    assert not any("eval_reward" in one for one in json.loads((silent / "history.json").read_text()))
    assert same(trained(learned, tokenizer, tmp_path / "c", held=held, updates=2), folder)
    with pytest.raises(ConfigError, match=r"no questions are held out .* set split\.held_out"):
        trained(learned, tokenizer, tmp_path / "d", trl={**CPU, "eval_strategy": "steps"})


def _data_of(runs, tokenizer) -> str:
    pages = Pages(Rendering(tokenizer, protocol_named("brief")), Rounds(1, 1, 1), Left(), most_tokens=None, seed=0)
    pages.add(runs)
    return pages.fingerprint()
