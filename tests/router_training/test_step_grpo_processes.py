"""step-grpo on two processes does what one does, with each group whole on one of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from router_training.world.learning import SPOKEN, tokenizer_of
from router_training.world.model import small_model
from router_training.world.world import World
from support.offline_samples import weights_of
from support.online_process import SAMPLES, train
from support.ranks import forked
from support.world_logs import world_log


def told(folder: Path, process: int) -> dict:
    return json.loads((folder / f"process-{process}.json").read_text())


def losses(folder: Path) -> list[tuple[float, float]]:
    history = json.loads((folder / "history.json").read_text())
    return [(one["reward"], one["grad_norm"]) for one in history if "reward" in one]


def test_two_processes_do_what_one_does_with_twice_the_groups(tmp_path: Path) -> None:
    runs = world_log(tmp_path / "log", questions=10, times=1)
    alone = train(tmp_path / "one", tmp_path / "log", 4)
    forked(lambda: train(tmp_path / "two", tmp_path / "log", 2), tmp_path / "said")
    both = tmp_path / "two"

    first, second = (Counter(told(both, rank)["asked"]) for rank in (0, 1))
    assert first + second == Counter(told(alone, 0)["asked"])
    assert sum(first.values()) == sum(second.values()) == 3 * 2 * SAMPLES
    assert all(count % SAMPLES == 0 for count in (*first.values(), *second.values()))  # no group is cut
    assert (told(both, 0)["collected"], told(both, 1)["collected"]) == ([1, 2], [])  # the graph is run once

    for (reward, norm), (reward_two, norm_two) in zip(losses(alone), losses(both), strict=True):
        assert abs(reward - reward_two) < 1e-6
        assert abs(norm - norm_two) < 1e-4 * norm and norm > 1e-3
    start = dict(small_model(tokenizer_of(World(), runs), width=16, layers=1).named_parameters())
    one, two = weights_of(alone), weights_of(both)
    moved = max(float((each - start[name].detach()).abs().max()) for name, each in one.items())
    assert moved > 1e-3
    assert max(float((each - two[name]).abs().max()) for name, each in one.items()) < 1e-4 * moved
    assert SPOKEN.name in (both / "MODEL_CARD.md").read_text()
