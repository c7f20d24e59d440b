"""Log-probs of a log are divided by only where they are of the policy that is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from router_graph.actions import action_from_dict
from router_graph.policies.local import tokenizer_fingerprint, weights_fingerprint
from router_graph.protocols import protocol_named
from router_graph.trajectories.reader import read_lines, read_runs
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_graph.trajectories.writer import RunWriter
from router_training.cli_samples import tokenizer_of
from router_training.data.rendering import Rendering
from support.run_logs import policy_call
from support.world_logs import base_model, world_log

Log = Callable[..., Path]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ratios")
    base_model(folder / "base", world_log(folder / "log", questions=15, times=3))
    return folder


@pytest.fixture
def log(house: Path, tmp_path: Path) -> Log:
    """A log as if `base` had written it, but for what a test says otherwise of its tokens."""
    rendering = Rendering(tokenizer_of(str(house / "base")), protocol_named("brief"))
    runs = {run.run_id: run for run in read_runs(house / "log")}
    own = {"model": weights_fingerprint(house / "base"), "tokenizer": tokenizer_fingerprint(house / "base")}

    def call(run: RunRecord, step: dict[str, Any], **facts: Any) -> dict[str, Any]:
        view = view_at(run, step["number"])
        reply = rendering.reply("", action_from_dict(step["actions"][0]), view)
        known = {"prompt_ids": rendering.prompt(view), "completion_ids": reply, "logprobs": [-1.0] * len(reply)}
        return policy_call(step["reply"], **{**known, **own, **facts})

    def written(**facts: Any) -> Path:
        with RunWriter(tmp_path / "log", sync="never") as writer:
            for one in read_lines(house / "log"):
                told = {"call": call(runs[one["run"]], one["step"], **facts)} if one["kind"] == "decided" else {}
                assert writer.write({**one, **told})  # type: ignore[typeddict-item]
        train("reward", tmp_path / "log", "--reward", "router_r1")
        return tmp_path / "log"

    return written


def train(*args: object, code: int = 0) -> str:
    result = CliRunner().invoke(app(), ["train", *map(str, args)])
    assert result.exit_code == code and "Traceback" not in result.output, result.output
    return result.stdout if code == 0 else result.stderr.strip()


def app() -> Any:
    from router_graph.cli import app

    return app


def dry(method: str, house: Path, log: Path, *more: str, code: int = 0) -> str:
    given = ("--model", house / "base", "--dry-run", "--json", "policy.protocol=brief", "split.held_out=0")
    return train(method, log, *given, *more, code=code)


def test_log_probs_of_the_model_that_is_trained_are_taken(house: Path, log: Log):
    told = json.loads(dry("offline-grpo", house, log()))
    assert told["trained"] > 10 and told["with_recorded_tokens"] == told["decisions"]


def test_log_probs_of_other_weights_are_refused_where_they_are_divided_by(house: Path, log: Log):
    other = log(model="feed")
    said = dry("offline-grpo", house, other, code=1)
    assert "\n" not in said and "were written by other weights (feed) than those that are to be trained (" in said
    assert json.loads(dry("awr", house, other))["trained"] > 10
    assert json.loads(dry("offline-grpo", house, other, "data.verify=false"))["trained"] > 10


def test_log_probs_of_the_bare_model_are_refused_where_they_are_divided_by(house: Path, log: Log):
    raw = log(logprob_kind="raw")
    said = dry("offline-grpo", house, raw, "data.verify=false", code=1)
    assert "\n" not in said and "log-probs of the bare model, and not" in said and "processed_logprobs" in said
    assert json.loads(dry("rft", house, raw))["trained"] > 10


def test_tokens_of_another_tokenizer_are_refused_by_every_method(house: Path, log: Log):
    other = log(tokenizer="feed")
    for method in ("rft", "offline-grpo"):
        assert "was sampled with the tokenizer feed, and this one is" in dry(method, house, other, code=1)


def test_a_log_without_log_probs_has_nothing_to_divide_by(house: Path, log: Log):
    assert "have no recorded log-probs" in dry("offline-grpo", house, log(logprobs=None), code=1)
