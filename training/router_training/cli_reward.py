"""`polyroute train reward`: what the steps of a log were worth, beside the log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kb_tools.cli_command import PlainCommand
from router_training.cli_options import AsJSON, QuestionsFile, Runs

_NAMES = "verifiable, router_r1, r1_router, router_r1_paper"


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command(cls=PlainCommand)(reward)


def reward(
    runs: Runs,
    name: Annotated[str, typer.Option("--reward", metavar="NAME", help=f"Which: {_NAMES}.")] = "verifiable",
    questions: QuestionsFile = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting, as weights.cost=0.5; may be repeated."),
    ] = None,
    scale: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Scores whose scale of costs is kept, so that both can be compared; else it is fitted on RUNS.",
            show_default=False,
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="RUNS", help="Whom r1_router imitates; RUNS themselves if left out.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="A .jsonl or .parquet file; RUNS/rewards/VERSION.jsonl if left out.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Score the steps or the runs of a log. The log stays as it is; each version of a reward has a file of its own.

    polyroute train reward runs

    polyroute train reward runs --reward router_r1 --set alpha=0.3 --set metric=em --out router_r1.jsonl
    """
    import statistics
    from collections import Counter

    from kb_tools import terminal
    from router_training import cli_print
    from router_training.cli_log import Log, questions_of
    from router_training.reward_choice import reward_named
    from router_training.rewards.saved import path_beside, save
    from router_training.rewards.scoring import score

    log, known = Log(runs), questions_of(questions)
    chosen = reward_named(
        name,
        settings or (),
        log,
        known,
        teacher=None if teacher is None else Log(teacher),
        scale=None if scale is None else _scale_of(scale),
    )
    skipped = Counter[str]()
    with cli_print.progress("runs") as tick:
        records = list(score(cli_print.ticking(log, tick), chosen.reward, known, skipped=skipped))
    path = out or path_beside(runs, chosen.reward)
    save(records, path, about=chosen.about)
    totals = [one.total for one in records]
    parts: dict[str, list[float]] = {}
    for one in records:
        for part, value in one.parts.items():
            parts.setdefault(part, []).append(value)
    told: dict[str, Any] = {
        "file": str(path),
        "version": chosen.reward.version,
        "scores": len(records),
        "runs": len({one.run_id for one in records}),
        "mean": statistics.fmean(totals) if totals else None,
        "std": statistics.pstdev(totals) if totals else None,
        "parts": {part: statistics.fmean(values) for part, values in parts.items()},
        "skipped": dict(skipped),
    }
    if as_json:
        terminal.print_json(told)
    else:
        cli_print.print_scores(told)
    if totals and min(totals) == max(totals):
        terminal.note(f"All scores are {totals[0]:g}: nothing can be learned from them.")


def _scale_of(path: Path) -> Any:
    from router_training.cli_log import about_scores
    from router_training.errors import DataError
    from router_training.rewards.costs import CostNormaliser

    kept = about_scores(path).get("scale")
    if kept is None:
        return CostNormaliser.load(path)
    try:
        return CostNormaliser(**kept)
    except TypeError as error:
        raise DataError(f"{path} has no scale of costs that can be read ({error}); score that log again.") from None
