"""Router-R1's training: real graphs are run with the weights as they are, and what was sampled in them is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router_graph.evaluation.gold import Gold
from router_graph.protocols import protocol_named
from router_graph.trajectories.records import RunRecord
from router_training.data.rendering import Rendering
from router_training.data.samples import samples
from router_training.errors import ConfigError, DataError
from router_training.rewards.costs import scales
from router_training.rewards.reward import WHOLE_RUN, RunReward, Score
from router_training.rewards.router_r1 import RouterR1
from router_training.trainers.config import Lora, OfflineConfig, Rft, Spoken
from router_training.trainers.episode_config import EpisodeConfig
from router_training.trainers.episode_credit import Rewards
from router_training.trainers.episode_play import Player
from router_training.trainers.episode_rows import ENVIRONMENT, calls_of, rows_of
from router_training.trainers.loading import load
from router_training.trainers.offline import train_offline
from router_training.trainers.router_r1 import train_router_r1
from router_training.trainers.rows import Judged
from router_training.world.learning import reward_of, tasks_of, tokenizer_of
from router_training.world.logs import record
from router_training.world.model import small_model
from router_training.world.playing import playing
from router_training.world.poor import Poor
from router_training.world.world import World
from support.episode_process import train
from support.offline_samples import weights_of
from support.ranks import forked

WORLD = World(subjects={"atlas": ("moons",), "prices": ("price",), "people": ("birth",)})
SPOKEN = Spoken(name="small", protocol="brief", max_tokens=16)
STEPPED = {"learning_rate": 1e-3, "use_cpu": True}


def config(**given: Any) -> EpisodeConfig:
    """Two updates of two groups of three."""
    small = {"updates": 2, "samples": 3, "groups": 2, "longest_reply": 16, "policy": SPOKEN, "trl": STEPPED}
    return EpisodeConfig(**{**small, **given})


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log")


@pytest.fixture(scope="module")
def runs(log: Path) -> list[RunRecord]:
    tasks = tasks_of(WORLD.questions(), 24, seed=0, prices=((0.001, 0.004),))
    return record(WORLD, Poor(), tasks, log, times=2)


@pytest.fixture(scope="module")
def rewards(runs: list[RunRecord]) -> Rewards:
    return Rewards(RouterR1(scales(runs)["run"]))


@pytest.fixture(scope="module")
def start(runs: list[RunRecord], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learned to speak, and little else."""
    tokenizer = tokenizer_of(WORLD, runs)
    spoken = [Judged(one, 1.0, one.question_id) for one in samples(runs, Rendering(tokenizer, protocol_named("brief")))]
    quick = {"per_device_train_batch_size": 16, "learning_rate": 5e-3, "use_cpu": True, "max_steps": 60}
    settings = OfflineConfig(objective=Rft(), policy=SPOKEN, trl=quick)
    folder = tmp_path_factory.mktemp("start") / "policy"
    return train_offline(spoken, settings, small_model(tokenizer, width=48), tokenizer, folder)


def trained(
    runs: list[RunRecord], rewards: Rewards, start: Path, folder: Path, given: EpisodeConfig, **more: Any
) -> Path:
    return train_router_r1(runs, rewards, given, start, None, folder, graphs=playing(WORLD), **more)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_what_was_sampled_in_the_graph_is_what_becomes_rows(runs: list[RunRecord], start: Path) -> None:
    model, tokenizer = load(start, None, config())  # type: ignore[arg-type]
    asked = list({run.question_id: run for run in runs}.values())[:6] * 2
    with Player(playing(WORLD), config()) as player:
        played = player.play(model, tokenizer, asked, range(12))
        again = player.play(model, tokenizer, asked, range(12))
    rendering, seen = Rendering(tokenizer, protocol_named("brief")), 0
    assert [run.question_id for run in played] == [run.question_id for run in asked]
    assert all(run.status == "ended" and run.settings["explore"] == 0 for run in played)
    for run, same in zip(played, again, strict=True):
        assert [call["completion_ids"] for _, call in calls_of(run)] == [
            call["completion_ids"] for _, call in calls_of(same)
        ]
        written = [one for row in rows_of(run) for one in row.steps if one != ENVIRONMENT]
        assert len(written) == sum(len(call["completion_ids"]) for _, call in calls_of(run))
        for record_, (number, call) in zip(run.steps, calls_of(run), strict=True):
            assert number == record_.number and call["logprobs"] is not None
            text = tokenizer.decode(call["completion_ids"], skip_special_tokens=True)
            assert record_.step["reply"].strip() in text.strip()
            seen += 1
    assert seen > 12  # some asked before they answered
    assert {tuple(one["completion_ids"]) for run in played[:6] for _, one in calls_of(run)} != {
        tuple(one["completion_ids"]) for run in played[6:] for _, one in calls_of(run)
    }  # other seeds, other draws
    assert rendering.protocol.name == played[0].steps[0].step["decision"]["protocol"]


@pytest.mark.parametrize("credit", ["episode", "mixed"])
def test_a_policy_is_trained_and_the_same_seed_gives_the_same_bits(
    credit: str, runs: list[RunRecord], rewards: Rewards, start: Path, tmp_path: Path
) -> None:
    both = replace(rewards, of_steps=reward_of(runs)) if credit == "mixed" else rewards
    one, same = (trained(runs, both, start, tmp_path / name, config(credit={"by": credit})) for name in ("one", "same"))
    assert weights(one) == weights(same) != weights(start)
    card = json.loads((one / "policy.json").read_text())
    assert card["learned"]["method"] == "router-r1" and card["learned"]["samples"] == 12
    assert card["learned"]["figures"]["groups"] >= 4
    history = json.loads((one / "history.json").read_text())
    assert {"episode/reward", "episode/replies", "episode/groups_without_spread", "loss"} <= history[0].keys()
    assert not any(key.startswith(("reward", "completions/")) for key in history[0])
    if credit == "episode":
        other = trained(runs, both, start, tmp_path / "other", config(seed=1))
        assert weights(other) != weights(one)


@pytest.mark.parametrize(
    "given",
    [{"lora": Lora(rank=2)}, {"trl": {**STEPPED, "beta": 0.01, "num_iterations": 2}}],
    ids=["an adapter", "held to the start, in two passes"],
)
def test_an_adapter_or_a_reference_is_trained_with(
    given: dict[str, Any], runs: list[RunRecord], rewards: Rewards, start: Path, tmp_path: Path
) -> None:
    folder = trained(runs, rewards, start, tmp_path / "p", config(**given))
    assert weights(folder) != weights(start)
    assert len(record(WORLD, f"local:{folder}", tasks_of(WORLD.questions(), 2, seed=3), tmp_path / "log")) == 2


def test_where_no_run_differs_from_the_others_it_is_said(
    runs: list[RunRecord], rewards: Rewards, tmp_path: Path
) -> None:
    tokenizer = tokenizer_of(WORLD, runs)
    model = small_model(tokenizer, width=16, layers=1)
    with pytest.raises(
        DataError, match=r"None of the first 10 groups .* replies were no action of the protocol 'brief'"
    ):
        train_router_r1(
            runs,
            rewards,
            config(updates=9, samples=2, longest_reply=1),
            model,
            tokenizer,
            tmp_path / "p",
            graphs=playing(WORLD),
        )
    assert not (tmp_path / "p" / "policy.json").exists()


def test_what_cannot_be_learned_from_is_said_before_anything_is_run(
    runs: list[RunRecord], rewards: Rewards, start: Path, tmp_path: Path
) -> None:
    unknown = [replace(run, metadata={"question_id": run.question_id}) for run in runs]
    with pytest.raises(DataError, match=r"24 of 24 questions have no right answer"):
        trained(unknown, rewards, start, tmp_path / "p", config())
    with pytest.raises(DataError, match=r"no question to run \(24 questions longer than 3 tokens left out\)"):
        trained(runs, rewards, start, tmp_path / "p", config(most_tokens=3))
    with pytest.raises(ConfigError, match="needs a reward of runs and one of steps"):
        trained(runs, rewards, start, tmp_path / "p", config(credit={"by": "mixed"}))
    model, tokenizer = load(start, None, config())  # type: ignore[arg-type]
    model.config.max_position_embeddings = 20
    with pytest.raises(DataError, match="and the model takes 20 with its reply"):
        train_router_r1(runs, rewards, config(), model, tokenizer, tmp_path / "p", graphs=playing(WORLD))


def test_episodes_that_break_off_are_left_out_and_all_of_them_are_an_error(runs: list[RunRecord], start: Path) -> None:
    model, tokenizer = load(start, None, config())  # type: ignore[arg-type]
    calls = iter(range(100))

    def graphs(policy: Any) -> Any:
        of = playing(WORLD)(policy)

        def graph(run: RunRecord) -> Any:
            if next(calls) != 1:
                raise ValueError("no such price")
            return of(run)

        return graph

    with Player(graphs, config()) as player:
        played = player.play(model, tokenizer, runs[:3], range(3))
        assert [run.status for run in played] == ["open", "ended", "open"]
        assert [run.question_id for run in played] == [run.question_id for run in runs[:3]]
        assert rows_of(played[0]) == [] and rows_of(played[1])
        with pytest.raises(DataError, match="No episode could be run: no such price"):
            player.play(model, tokenizer, runs[:3], range(3))


class FirstAsked(RunReward):
    """1 for a run that asks a model first, and not a knowledge base."""

    name = "first_asked"

    @property
    def parameters(self) -> Mapping[str, object]:
        return {}

    def of_run(self, run: RunRecord, gold: Gold) -> Score:
        first = run.steps[0].step["actions"][0] if run.steps else {"kind": ""}
        return Score(WHOLE_RUN, float(first["kind"] == "llm"))


def test_what_pays_is_done_more_often(runs: list[RunRecord], start: Path, tmp_path: Path) -> None:
    given = config(
        updates=10, samples=4, groups=4, trl={"learning_rate": 3e-3, "lr_scheduler_type": "constant", "use_cpu": True}
    )
    folder = trained(runs, Rewards(FirstAsked()), start, tmp_path / "p", given)
    told = [one["episode/reward"] for one in json.loads((folder / "history.json").read_text()) if "loss" in one]
    assert len(told) == 10
    assert sum(told[-5:]) / 5 > sum(told[:2]) / 2 + 0.1


@pytest.mark.timeout(240)  # three processes, which load torch each
def test_two_processes_do_what_one_does(log: Path, runs: list[RunRecord], start: Path, tmp_path: Path) -> None:
    whole = train(log, start, tmp_path / "one", 2, "mixed")
    forked(lambda: train(log, start, tmp_path / "two", 1, "mixed"), tmp_path / "said")
    before, one, two = (weights_of(folder) for folder in (start, whole, tmp_path / "two"))
    moved = max(float((one[name] - each).abs().max()) for name, each in before.items())
    apart = max(float((one[name] - each).abs().max()) for name, each in two.items())
    assert moved > 1e-3 and apart / moved < 1e-3
    told = [json.loads((folder / "policy.json").read_text())["learned"] for folder in (whole, tmp_path / "two")]
    assert told[0]["samples"] == told[1]["samples"] == 12
    assert told[0]["figures"]["groups_without_spread"] == told[1]["figures"]["groups_without_spread"]
