"""`polyroute train`: from a log of runs to a policy. Results go to stdout, the rest to stderr."""

from __future__ import annotations

import typer

from kb_tools.cli import HELP
from kb_tools.cli_command import PlainGroup
from router_training import (
    cli_episodes,
    cli_learned,
    cli_online,
    cli_ope,
    cli_reflect,
    cli_report,
    cli_reward,
    cli_samples,
    cli_train,
)

app = typer.Typer(
    cls=PlainGroup,
    name="train",
    help="Score a log of runs, learn a policy from it, and judge whether it is better.",
    no_args_is_help=True,
    context_settings=HELP,
    pretty_exceptions_enable=False,
)

# In the order in which they are used, and listed by --help.
for commands in (
    cli_reward,
    cli_samples,
    cli_train,
    cli_online,
    cli_episodes,
    cli_learned,
    cli_reflect,
    cli_ope,
    cli_report,
):
    commands.register(app)
