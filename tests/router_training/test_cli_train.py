"""`polyroute train`: from a log of real runs to scores, samples and a policy, and what it says to bad input."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from router_graph.cli import app
from router_graph.trajectories.reader import read_lines
from router_graph.trajectories.writer import RunWriter
from router_training.online_recipe import EpisodeRecipe, OnlineRecipe
from router_training.recipe import OfflineRecipe, read_recipe
from router_training.rewards.saved import load
from support.handbook import STEERS
from support.run_logs import policy_call, whole_run, write
from support.world_logs import base_model, world_log

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
BRIEF = "policy.protocol=brief"


def train(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["train", *map(str, args)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and not STEERS.search(result.output)
    return result


def complaint(*args: object) -> str:
    """The one sentence that a bad command ends with."""
    *notes, sentence = train(*args, code=1).stderr.strip().splitlines()
    assert not any(one.startswith("polyroute: ") for one in notes)
    return sentence.removeprefix("polyroute: ")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    world_log(folder, questions=60)
    return folder


@pytest.fixture(scope="module")
def scores(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scores") / "scores.jsonl"
    train("reward", log, "--reward", "router_r1", "--out", path)
    return path


@pytest.fixture(scope="module")
def base(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from router_graph.trajectories.reader import read_runs

    return base_model(tmp_path_factory.mktemp("base"), list(read_runs(log)))


def samples(log: Path, base: Path, scores: Path, *more: object) -> dict[str, object]:
    return json.loads(train("build", log, "--model", base, "--scores", scores, "--json", BRIEF, *more).stdout)


def test_scores_lie_beside_the_log_each_version_in_a_file_of_its_own(log: Path, tmp_path: Path):
    folder = tmp_path / "runs"
    world_log(folder, questions=10)
    shards = {one: one.read_bytes() for one in folder.rglob("*.jsonl")}
    first = json.loads(train("reward", folder, "--reward", "router_r1", "--json").stdout)
    other = json.loads(train("reward", folder, "--reward", "router_r1", "--set", "alpha=0.1", "--json").stdout)
    assert first["version"] != other["version"] and first["runs"] == 20
    assert {Path(first["file"]), Path(other["file"])} == set((folder / "rewards").iterdir())
    assert all(one.read_bytes() == was for one, was in shards.items())
    kept = list(load(first["file"]))
    assert len(kept) == first["scores"] and {one.version for one in kept} == {first["version"]}


def test_a_kept_scale_of_costs_gives_another_log_comparable_scores(log: Path, scores: Path, tmp_path: Path):
    folder = tmp_path / "more"
    world_log(folder, questions=10, seed=9)
    out = tmp_path / "scores.jsonl"
    told = train("reward", folder, "--reward", "router_r1", "--scale", scores, "--out", out, "--json").stdout
    assert json.loads(told)["version"] == next(load(scores)).version


def test_what_a_log_gives_is_counted_and_so_is_what_is_left_out(log: Path, base: Path, scores: Path):
    told = samples(log, base, scores, "objective.method=rft", "objective.above=0.3")
    assert told["steps_with_known_chance"] == told["steps"] >= told["decisions"]
    assert told["decisions"] > told["trained"] > 0 and told["held_out_runs"] > 0
    assert told["left_out"]["with a reward of 0.3 or less"] > 0
    assert sum(one["decisions"] for one in told["targets"].values()) == told["decisions"]


@pytest.mark.parametrize("method", ["rft", "awr", "dpo", "kto"])
def test_a_dry_run_shows_three_samples_whose_reply_alone_is_trained(
    log: Path, base: Path, scores: Path, tmp_path: Path, method: str
):
    given = (method, log, "--model", base, "--scores", scores, "--dry-run", BRIEF, "--out", tmp_path / "no")
    told = json.loads(train(*given, "--json").stdout)
    assert len(told["shown"]) == 3 and not (tmp_path / "no").exists()
    for one in told["shown"]:
        assert [span["trained"] for span in one["spans"]] == [False, True]
        assert one["spans"][1]["text"].startswith("<think></think>")
    plain = train(*given)
    assert plain.stdout.count("⟦<think></think>") == 3 and "Nothing was trained" in plain.stderr


def test_samples_are_written_for_other_tools(log: Path, base: Path, scores: Path, tmp_path: Path):
    told = samples(log, base, scores, "--out", tmp_path / "s.jsonl")
    samples(log, base, scores, "--out", tmp_path / "s.parquet")
    rows = [json.loads(one) for one in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert len(rows) == told["decisions"] and rows[0]["completion_ids"]
    import pyarrow.parquet as pq

    assert pq.read_table(tmp_path / "s.parquet").to_pylist() == rows


def test_a_recipe_trains_a_policy_that_says_what_it_was_made_of(log: Path, base: Path, scores: Path, tmp_path: Path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "objective: {method: rft, above: 0.3}\npolicy: {protocol: brief, name: mine}\ntrl: {use_cpu: true}\n"
    )
    out = tmp_path / "policy"
    given = ("rft", log, "--model", base, "--scores", scores, "--config", recipe, "--out", out)
    told = train(*given, "trl.max_steps=4", "trl.learning_rate=1e-3")
    assert "loss" in told.stdout and "polyroute train report" in told.stderr
    card = json.loads((out / "policy.json").read_text())
    assert card["name"] == "mine" and card["learned"]["reward"] == next(load(scores)).version
    assert card["learned"]["config"]["trl"] == {"use_cpu": True, "max_steps": 4, "learning_rate": 0.001}
    assert json.loads((out / "trained_on.json").read_text())["scores"]["scale"]["count"] == 120
    assert "holds a policy already" in complaint(*given)


def test_a_teacher_is_imitated_without_scores(log: Path, base: Path, tmp_path: Path):
    train("sft", log, "--model", base, "--out", tmp_path / "p", BRIEF, "trl.use_cpu=true", "trl.max_steps=1")
    assert json.loads((tmp_path / "p" / "policy.json").read_text())["learned"]["method"] == "sft"
    assert "| Method | sft |" in (tmp_path / "p" / "MODEL_CARD.md").read_text()
    told = json.loads(train("sft", log, "--model", base, "--dry-run", "--json", BRIEF, "split.held_out=0").stdout)
    assert told["trained"] > 0 and told["held_out_runs"] == 0 and {one["reward"] for one in told["shown"]} == {1.0}


def test_a_log_can_be_tokenized_anew_but_only_on_request(log: Path, base: Path, scores: Path, tmp_path: Path):
    foreign = tmp_path / "foreign"
    lines = [{**one, "call": policy_call()} if one["kind"] == "decided" else one for one in read_lines(log)]
    with RunWriter(foreign, sync="never") as writer:
        for one in lines:
            assert writer.write(one)
    given = ("rft", foreign, "--model", base, "--scores", scores, "--dry-run", BRIEF)
    assert "sampled with the tokenizer t" in complaint(*given)
    train(*given, "--retokenize")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["data.most_tokn=512"], "data.most_tokn=512: 'most_tokn' is no known key; did you mean 'most_tokens'?"),
        (["objective.abov=1"], "'abov' is no known key; did you mean 'above'?"),
        (["dat.most_tokens=5"], "'dat' is no known key; did you mean 'data'?"),
        (["data=5"], "'data' holds keys and values, and not 5."),
        (["seed=-1"], "seed is -1; it must be greater than or equal to 0."),
        (["data.most_tokens"], "sets nothing; write KEY=VALUE"),
        (["objective.method=dpo"], "it is for 'dpo', and 'rft' was asked for"),
        (["split.held_out=1"], "held_out is 1"),
        (["policy.protocol=tag"], "policy.protocol: "),
        ([BRIEF, "data.most_tokens=5"], "longer than 5 tokens"),
        ([BRIEF, "objective.above=2"], "has a reward of more than 2"),
    ],
)
def test_a_wrong_setting_is_one_sentence(log: Path, base: Path, scores: Path, given: list[str], says: str):
    assert says in complaint("rft", log, "--model", base, "--scores", scores, "--dry-run", *given)


def test_a_typo_in_a_recipe_is_found_with_its_line(log: Path, base: Path, tmp_path: Path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("seed: 1\ndata:\n  # how long\n  most_tokns: 512\n")
    said = complaint("rft", log, "--model", base, "--config", recipe, "--dry-run")
    assert said == f"{recipe}, line 4: 'most_tokns' is no known key; did you mean 'most_tokens'?"


def test_a_name_that_there_is_not_is_answered_with_the_nearest(log: Path):
    assert complaint("reward", log, "--reward", "verifable") == (
        "There is no reward 'verifable'; did you mean 'verifiable'?"
    )
    assert "did you mean 'alpha'?" in complaint("reward", log, "--reward", "router_r1", "--set", "alpah=1")


def test_a_right_answer_that_is_missing_is_said_before_anything_is_computed(tmp_path: Path):
    write(tmp_path, whole_run())
    assert "1 of 1 runs have no right answer" in complaint("reward", tmp_path, "--reward", "router_r1")


def test_a_log_of_another_schema_or_of_no_runs_is_refused(base: Path, tmp_path: Path):
    write(tmp_path / "new", [{**one, "v": 99} for one in whole_run()])
    assert "schema 99" in complaint("reward", tmp_path / "new")
    assert "There is no" in complaint("reward", tmp_path / "none")
    write(tmp_path / "bare", whole_run())
    assert "has no scores" in complaint("rft", tmp_path / "bare", "--model", base, "--dry-run")


def test_a_truncated_shard_is_used_as_far_as_it_goes_and_said(base: Path, tmp_path: Path):
    world_log(tmp_path / "log", questions=10)
    (path,) = (tmp_path / "log").rglob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    told = train("reward", tmp_path / "log", "--reward", "router_r1", "--out", tmp_path / "s.jsonl", "--json")
    assert json.loads(told.stdout)["runs"] == 19 and "polyroute runs check" in told.stderr


def test_a_sample_that_the_model_cannot_take_is_said_before_the_model_is_loaded(
    log: Path, base: Path, scores: Path, tmp_path: Path
):
    for one in base.iterdir():
        (tmp_path / one.name).write_bytes(one.read_bytes())
    (tmp_path / "model.safetensors").unlink()
    config = json.loads((base / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 32}))
    said = complaint("rft", log, "--model", tmp_path, "--scores", scores, "--out", tmp_path / "p", BRIEF)
    assert "longer than the 32 tokens that the model takes" in said


@pytest.mark.parametrize("method", ["awr", "dpo"])
def test_a_log_in_which_nothing_was_tried_twice_teaches_nothing_by_comparison(base: Path, tmp_path: Path, method: str):
    world_log(tmp_path / "log", questions=12, times=1)
    scores = tmp_path / "s.jsonl"
    train("reward", tmp_path / "log", "--reward", "router_r1", "--out", scores)
    given = ("--model", base, "--scores", scores, "--dry-run", BRIEF, "split.held_out=0")
    said = complaint(method, tmp_path / "log", *given)
    assert "two different rewards" in said or "do the rewards of two replies differ" in said


def test_what_is_no_log_and_what_is_no_text_are_said(log: Path, base: Path, tmp_path: Path):
    assert complaint("rft", tmp_path / "no", "--model", base, "--dry-run").startswith(f"There is no {tmp_path / 'no'};")
    (tmp_path / "scores.jsonl").write_bytes(b"\xff\xfe")
    said = complaint("rft", log, "--model", base, "--scores", tmp_path / "scores.jsonl", "--dry-run", BRIEF)
    assert said.startswith(f"Line 1 of {tmp_path / 'scores.jsonl'} is no score")


def test_a_log_whose_samples_are_all_left_out_says_so_and_not_that_it_has_no_scores(
    log: Path, base: Path, scores: Path
):
    said = complaint("rft", log, "--model", base, "--scores", scores, "--dry-run", BRIEF, "data.most_tokens=2")
    assert re.fullmatch(r"There is no sample to train on: left out are [\d,]+ longer than 2 tokens\.", said)


def test_several_files_of_scores_must_be_chosen_from(log: Path, base: Path, tmp_path: Path):
    folder = tmp_path / "log"
    world_log(folder, questions=10)
    versions = [
        json.loads(train("reward", folder, "--reward", "router_r1", "--set", f"alpha={one}", "--json").stdout)[
            "version"
        ]
        for one in (0.1, 0.2)
    ]
    given = ("rft", folder, "--model", base, "--dry-run", "--json", BRIEF, "split.held_out=0")
    assert "say which with --scores" in complaint(*given)
    assert json.loads(train(*given, f"reward.version={versions[1]}").stdout)["reward"] == versions[1]


def test_no_model_and_nowhere_to_put_it_are_said(log: Path, scores: Path, tmp_path: Path):
    assert "--out policy" in complaint("rft", log)
    assert "--model base" in complaint("rft", log, "--scores", scores, "--dry-run")
    assert "cannot be loaded" in complaint("rft", log, "--model", tmp_path, "--scores", scores, "--dry-run")


def test_a_model_that_is_no_folder_is_said_and_not_asked_for_at_the_hub(
    log: Path, scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def connected(*given: object, **more: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.getaddrinfo", connected)
    for name in ("mistyped/base", tmp_path / "nothing"):
        said = complaint("rft", log, "--model", name, "--scores", scores, "--dry-run")
        assert said.startswith(f"There is no folder {str(name)!r}; give that of a model")


def test_help_comes_without_the_libraries_that_train():
    code = (
        "import sys\nfrom router_graph.cli import app\n"
        "try: app(['train', 'rft', '--help'])\nexcept SystemExit: pass\n"
        "print([one for one in ('torch', 'transformers', 'datasets', 'numpy') if one in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip().splitlines()[-1] == "[]"


def test_a_run_that_broke_off_goes_on_to_the_same_bits(log: Path, base: Path, scores: Path, tmp_path: Path):
    out = tmp_path / "policy"
    given = ("rft", log, "--model", base, "--scores", scores, "--out", out, BRIEF, "objective.above=0.3")
    short = ("trl.use_cpu=true", "trl.max_steps=4", "save.every=2")
    train(*given, *short)
    whole = (out / "model.safetensors").read_bytes()
    for one in [*out.iterdir(), *(out / "checkpoints" / "checkpoint-4").iterdir()]:
        if one.is_file():
            one.unlink()
    (out / "checkpoints" / "checkpoint-4").rmdir()
    train(*given, *short, "--resume")
    assert (out / "model.safetensors").read_bytes() == whole
    assert "trained with another 'seed'" in complaint(*given, *short, "seed=5", "--resume")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_recipe_can_be_used(path: Path):
    method = path.stem.replace("_", "-")
    if path.stem in ("ddp", "zero2", "fsdp"):
        from accelerate.commands.config.config_args import ClusterConfig

        assert ClusterConfig.from_yaml_file(path).num_processes == 4
        return
    import trl

    if method in ("step-grpo", "router-r1"):
        recipe = OnlineRecipe if method == "step-grpo" else EpisodeRecipe
        settings, kind = read_recipe(recipe, path), trl.GRPOConfig
    else:
        settings = read_recipe(OfflineRecipe, path, method=method)
        kind = {"dpo": trl.DPOConfig, "kto": trl.KTOConfig}.get(method, trl.SFTConfig)
    assert settings.trl.keys() <= {one.name for one in dataclasses.fields(kind) if one.init}


def test_the_guide_names_commands_that_there_are():
    texts = [one.read_text() for one in (RECIPES.parent / "README.md", *RECIPES.glob("*.yaml"))]
    named = set(re.findall(r"(?:polyroute|router_graph\.cli) train ([a-z][\w-]*)", "\n".join(texts)))
    assert named >= {"reward", "build", "rft", "report", "handbook", "step-grpo"}
    for name in named:
        train(name, "--help")
