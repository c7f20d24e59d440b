"""Forks of runs are for looking: neither estimates nor training read what nobody drew, or what was there before."""

from __future__ import annotations

import pytest

from router_graph import Answer, RouteToKB, create_router
from router_graph.forking import fork
from router_graph.protocols import protocol_named
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_training.data.rendering import Rendering
from router_training.data.samples import Left, samples
from router_training.ope.estimate import CannotTell
from router_training.ope.from_runs import from_runs
from router_training.rewards.scoring import RewardRecord
from support.tiny_engine import byte_tokenizer
from support.town_runs import AnyOption, questions, towns


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Runs, and beside them a fork of each."""
    folder = tmp_path_factory.mktemp("runs")
    graph = create_router(towns(), policy=AnyOption())
    with Recorder(folder, sync="never") as recorder, Recorder(folder / "forks", sync="never") as forks:
        for one in questions()[:8]:
            graph.invoke({"question": one.text}, {"callbacks": [recorder]}, context={"max_steps": 3})
        for run in read_runs(folder):
            action = RouteToKB("people", "anything else") if len(run.steps) > 1 else Answer("so")
            fork(graph, run, 1, action, config={"callbacks": [forks]})
    return folder


def test_whoever_reads_a_log_does_not_read_its_forks(log):
    assert len(list(read_runs(log))) == 8
    forks = list(read_runs(log / "forks"))
    assert len(forks) == 8 and all(run.metadata["forked_from"]["step"] == 1 for run in forks)


def test_an_estimate_leaves_a_fork_out_as_nobody_drew_its_action(log):
    forks = list(read_runs(log / "forks"))
    rewards = [RewardRecord(run.run_id, 0, 1.0, {}, "r") for run in forks]
    found = from_runs(forks, rewards, {"any": lambda view: {view.legal[0]["key"]: 1.0}})
    assert isinstance(found, CannotTell)


def test_training_takes_of_a_fork_only_what_its_policy_did_there(log):
    forks, left = list(read_runs(log / "forks")), Left()
    rendering = Rendering(byte_tokenizer(), protocol_named("brief"))
    made = list(samples(forks, rendering, left=left))
    assert left.counts["of a fork up to where it was forked"] == len(forks)
    assert {(one.run_id, one.number) for one in made} == {
        (run.run_id, step.number) for run in forks for step in run.steps if step.number > 1
    }
