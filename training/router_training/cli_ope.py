"""`polyroute train ope`: what another policy would have earned on the questions of a log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kb_tools.cli_command import PlainCommand
from router_training.cli_options import AsJSON, By, Limit, PoolFile, Protocol, Runs, Scores, Seed, Worth


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command(cls=PlainCommand)(ope)


def ope(
    runs: Runs,
    policy: Annotated[
        str,
        typer.Option("--policy", metavar="NAME", help="As local:FOLDER, handbook:FILE, kb:NAME.", show_default=False),
    ],
    against: Annotated[
        list[str] | None,
        typer.Option("--against", metavar="NAME", help="Compare with this; repeat for more.", show_default=False),
    ] = None,
    scores: Scores = None,
    protocol: Protocol = "tags",
    pool: PoolFile = None,
    by: By = None,
    limit: Limit = None,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="A picture as well.", show_default=False)
    ] = None,
    worth: Worth = None,
    seed: Seed = 0,
    as_json: AsJSON = False,
) -> None:
    """Estimate from a log what a policy would have earned, without running it; or say that nobody can tell.

    polyroute train ope runs --policy handbook:handbook.json --against knn:knn.json

    The log must know how likely its choices were, as with --explore 0.1 or a local
    policy that draws. Runs of questions that a local policy was trained on are left out;
    judge a handbook or kNN on another log than its own, which flatters it.
    """
    from kb_tools import terminal
    from router_training import cli_log, cli_ope_print, cli_print
    from router_training.estimating import estimated, opened_pool, policies_of

    found = cli_log.scores_of(cli_log.scores_path(runs, scores))
    known = list(cli_log.Log(runs))
    if policy.startswith("local:"):
        known = cli_log.sides(known, Path(policy.removeprefix("local:")))[1]
    known = known[:limit]
    names = dict.fromkeys((policy, *(against or ())))
    policies = policies_of(list(names), known, pool=opened_pool(pool))
    with cli_print.progress("decisions") as tick:
        told = estimated(
            known, found, policy, policies, protocol=protocol, kinds=by or (), seed=seed, worth=worth, tick=tick
        )
    cli_ope_print.show(told, as_json=as_json)
    if png is not None:
        cli_ope_print.picture(told, png)
        terminal.note(f"The picture is {png}.")
