"""`polyroute train rft` and its kin: a policy from a log."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kb_tools.cli_command import PlainCommand
from router_training.cli_options import (
    AsJSON,
    DryRun,
    LabelsFolder,
    ModelFolder,
    Out,
    Overrides,
    RecipeFile,
    Resume,
    Retokenize,
    Runs,
    Scores,
)
from router_training.errors import ConfigError

if TYPE_CHECKING:
    from router_training.cli_samples import Given


METHODS = {
    "rft": """Imitate the good decisions of a log (filtered behaviour cloning): the one to begin with.

    polyroute train rft runs --model base --dry-run

    polyroute train rft runs --model base --out policy policy.protocol=brief policy.temperature=1

    It needs scores, or labels, and neither token ids nor log-probs. With a temperature the
    policy draws, so that its own runs can be learned from.
    """,
    "awr": """Imitate all decisions, the better ones more (advantage-weighted regression).

    polyroute train awr runs --model base --out policy-awr objective.tau=0.3

    It needs scores, and states in which different things were tried.
    """,
    "dpo": """Prefer the better of two decisions in the same state (direct preference optimisation).

    polyroute train dpo runs --model base --out policy-dpo objective.margin=0.2

    polyroute train dpo runs --model base --out policy-labels --labels runs/labels

    It needs scores, or labels, and states in which different things were tried.
    """,
    "kto": """Tell good decisions from bad ones, without pairs (Kahneman-Tversky optimisation).

    polyroute train kto runs --model base --out policy-kto

    It needs scores, or labels, good ones and bad ones.
    """,
    "offline-grpo": """Policy gradient on a log, clipped around the policy itself, ended where the log tells no more.

    polyroute ask --file examples/questions.jsonl --policy local:policy --record sampled --seed 1 --quiet

    polyroute ask --file examples/questions.jsonl --policy local:policy --record sampled --seed 2 --quiet

    polyroute train reward sampled

    polyroute train offline-grpo sampled --model policy --out policy-grpo policy.protocol=brief

    It needs scores, several tries of a question, recorded token ids and log-probs, and the
    model that wrote the log.
    """,
}
"""The methods that learn from scores, and what their help says."""


def register(app: typer.Typer) -> None:
    """Put the commands into the app."""
    for method, about in METHODS.items():
        app.command(method, cls=PlainCommand, help=inspect.cleandoc(about))(_command(method))
    app.command(cls=PlainCommand)(sft)


def _command(method: str) -> Callable[..., None]:
    def command(
        ctx: typer.Context,
        runs: Runs,
        overrides: Overrides = None,
        model: ModelFolder = None,
        out: Out = None,
        scores: Scores = None,
        labels: LabelsFolder = None,
        config: RecipeFile = None,
        retokenize: Retokenize = False,
        resume: Resume = False,
        dry_run: DryRun = False,
        as_json: AsJSON = False,
    ) -> None:
        _train(method, ctx.params)

    return command


def sft(
    ctx: typer.Context,
    runs: Runs,
    overrides: Overrides = None,
    model: ModelFolder = None,
    out: Out = None,
    config: RecipeFile = None,
    retokenize: Retokenize = False,
    resume: Resume = False,
    dry_run: DryRun = False,
    as_json: AsJSON = False,
) -> None:
    """Imitate every decision of a log, as of a teacher whom you trust. No scores are read.

    polyroute train sft runs --model base --out policy-sft
    """
    _train("rft", ctx.params, imitate=True)


def _train(method: str, params: dict[str, Any], *, imitate: bool = False) -> None:
    from router_training.cli_samples import samples_of
    from router_training.trainers.saving import check_room

    out: Path | None = params["out"]
    if out is None and not params["dry_run"]:
        raise ConfigError("Where the policy goes is not told; give a folder, as in --out policy.")
    if out is not None and not (params["resume"] or params["dry_run"]):
        check_room(out)
    given = samples_of(
        params["runs"],
        params["model"],
        params.get("scores"),
        params["config"],
        params["overrides"] or (),
        method,
        retokenize=params["retokenize"],
        imitate=imitate,
        labels=params.get("labels"),
    )
    if params["dry_run"]:
        from kb_tools import terminal
        from router_training import cli_samples_print

        cli_samples_print.show(given, as_json=params["as_json"])
        terminal.note("Nothing was trained (--dry-run).")
        return
    assert out is not None
    _run(given, params, out, "sft" if imitate else method)


def _run(given: Given, params: dict[str, Any], out: Path, method: str) -> None:
    from router_training.prepared import save_trained_on
    from router_training.trainers.offline import train_offline

    folder = train_offline(
        given.prepared.judged,
        given.recipe,
        params["model"],
        given.tokenizer,
        out,
        held=given.prepared.shown,
        resume=params["resume"],
        left=given.prepared.left,
        method=method,
    )
    if int(os.environ.get("RANK", "0")):  # of several processes, the first tells
        return
    save_trained_on(folder, given.recipe.split, given.prepared.trained, given.about)
    from router_training import cli_print

    cli_print.print_policy(folder, params["runs"], as_json=params["as_json"])
