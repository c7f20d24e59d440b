"""From what a command is given to the samples of a method, looked at or written down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kb_tools.cli_command import PlainCommand
from router_training import cli_options as options
from router_training.cli_options import (
    AsJSON,
    LabelsFolder,
    ModelFolder,
    Overrides,
    RecipeFile,
    Retokenize,
    Runs,
    Scores,
)
from router_training.errors import ConfigError

if TYPE_CHECKING:
    from router_training.lessons import Lesson
    from router_training.prepared import Prepared
    from router_training.recipe import OfflineRecipe


@dataclass(frozen=True)
class Given:
    """What a command of a method came to, before anything is trained."""

    recipe: OfflineRecipe
    prepared: Prepared
    tokenizer: Any
    about: dict[str, Any]
    """Of the scores."""


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command(cls=PlainCommand)(build)


def build(
    runs: Runs,
    overrides: Overrides = None,
    model: ModelFolder = None,
    scores: Scores = None,
    labels: LabelsFolder = None,
    config: RecipeFile = None,
    retokenize: Retokenize = False,
    out: options.SamplesOut = None,
    as_json: AsJSON = False,
) -> None:
    """Show what a log gives to train on: samples, what is left out and why, three of them with what is trained.

    polyroute train build runs --model base

    polyroute train build runs --model base objective.method=dpo --out samples.jsonl

    polyroute train build runs --model base --labels runs/labels

    The same decisions, scores and states as the methods see them. --out writes them for other tools.
    """
    from router_training import cli_samples_print

    given = samples_of(runs, model, scores, config, overrides or (), None, retokenize=retokenize, labels=labels)
    if out is not None:
        _write(given.prepared, out)
    cli_samples_print.show(given, as_json=as_json)
    if out is not None:
        from kb_tools import terminal

        terminal.note(f"{len(given.prepared.judged):,} samples were written to {out}.")


def samples_of(
    runs: Path,
    model: str | None,
    scores: Path | None,
    config: Path | None,
    overrides: Sequence[str],
    method: str | None,
    *,
    retokenize: bool = False,
    imitate: bool = False,
    labels: Path | None = None,
) -> Given:
    """Read, check and render. Nothing is computed by a model. Raises `TrainingError`."""
    from router_training import cli_log, cli_print
    from router_training.data.rendering import Rendering
    from router_training.prepared import prepared
    from router_training.recipe import OfflineRecipe, read_recipe
    from router_training.trainers.config import RewardChoice

    recipe = read_recipe(OfflineRecipe, config, overrides, method=method)
    said = None if labels is None else cli_log.labels_of(labels)
    by_scores = not imitate and (said is None or scores is not None)
    paths = cli_log.scores_paths(runs, scores, recipe) if by_scores else []
    told = [cli_log.about_scores(path) for path in paths]
    about = told[0] if told else {}
    if about.get("version"):
        whole = str(told[1].get("version", "")) if len(told) > 1 else ""
        chosen = RewardChoice(version=str(about["version"]), whole=whole)
        recipe = recipe.model_copy(update={"reward": chosen})
    if said is not None:
        version = "+".join(filter(None, ("labels", about.get("version"))))
        recipe = recipe.model_copy(update={"reward": recipe.reward.model_copy(update={"version": version})})
    tokenizer = tokenizer_of(model)
    rendering = Rendering(tokenizer, protocol_of(recipe.policy.protocol), recipe.policy.thinks)
    with cli_print.progress("runs") as tick:
        found = prepared(
            cli_print.ticking(cli_log.Log(runs), tick),
            [one for path in paths for one in cli_log.scores_of(path)] if by_scores else None,
            rendering,
            recipe,
            tokenizer=_fingerprint(str(model)),
            weights=_weights(str(model), recipe),
            retokenize=retokenize,
            labels=said,
        )
    _check_context(found, str(model))
    return Given(recipe, found, tokenizer, about)


def lessons_of(given: Given) -> list[Lesson]:
    """What the method takes of the samples. What it leaves out is not yet counted with the rest."""
    from router_training.data.samples import Left
    from router_training.lessons import lessons

    left = Left(given.prepared.left.counts.copy())
    made = lessons(given.prepared.judged, given.recipe, left)
    given.prepared.left.counts.clear()
    given.prepared.left.counts.update(left.counts)
    return made


def tokenizer_of(model: str | None) -> Any:
    """The tokenizer that lies with a model. Raises `ConfigError`."""
    if model is None:
        raise ConfigError("Which model is to be trained is not told; give its folder, as in --model base.")
    from router_training.trainers.environment import quieten
    from router_training.trainers.loading import check_folder, first_line

    check_folder(model)
    quieten()
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    except Exception as error:  # damaged files raise what their readers raise
        raise ConfigError(
            f"The tokenizer of {model!r} cannot be loaded ({first_line(error)}); give a model's folder."
        ) from None
    # Without its files transformers makes up a tokenizer of the model's class that knows no words.
    if tokenizer.get_vocab().keys() <= tokenizer.get_added_vocab().keys():
        raise ConfigError(f"The model {model!r} comes without a tokenizer; save it into the same folder.")
    return tokenizer


def protocol_of(name: str) -> Any:
    """The protocol of a name. Raises `ConfigError`."""
    from router_graph.errors import RouterError
    from router_graph.protocols import protocol_named

    try:
        return protocol_named(name)
    except RouterError as error:
        raise ConfigError(f"policy.protocol: {error}") from None


def _fingerprint(model: str) -> str:
    from router_graph.policies.local import tokenizer_fingerprint

    return tokenizer_fingerprint(model) if Path(model).is_dir() else ""


def _weights(model: str, recipe: OfflineRecipe) -> str:
    """The fingerprint of the weights, where the method divides by their log-probs, unless that is not to be checked."""
    from router_graph.policies.local import weights_fingerprint
    from router_training.trainers.config import OfflineGrpo

    asked = isinstance(recipe.objective, OfflineGrpo) and recipe.data.verify is not False
    return weights_fingerprint(model) if asked and Path(model).is_dir() else ""


def context_of(model: str) -> int | None:
    """How many tokens a model takes, as its config says; None where it does not."""
    from transformers import AutoConfig

    try:
        told = AutoConfig.from_pretrained(model).get_text_config()
    except (OSError, ValueError):
        return None  # whether there is a model is asked when it is loaded
    context = getattr(told, "max_position_embeddings", None)
    return int(context) if context else None


def _check_context(found: Prepared, model: str) -> None:
    from router_training.data.samples import check_lengths

    if (context := context_of(model)) is not None:
        check_lengths([one.sample for one in found.judged], context)


def _write(found: Prepared, out: Path) -> None:
    rows = [
        {
            "run_id": one.sample.run_id,
            "number": one.sample.number,
            "question_id": one.sample.question_id,
            "target": one.sample.target,
            "prompt_ids": one.sample.prompt_ids,
            "completion_ids": one.sample.completion_ids,
            "logprobs": one.sample.logprobs,
            "reward": one.reward,
            "advantage": one.advantage,
            "state": str(one.state),
        }
        for one in found.judged
    ]
    if out.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), out)
        return
    with out.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
