"""`polyroute ask`, `preview` and `graph`: questions through the routing graph, from the command line.

Answers go to stdout; the way to them, and everything else, to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from kb_tools.cli_command import PlainCommand
from router_graph import cli_ask_options as options
from router_graph.errors import QuestionError

Question = Annotated[
    str | None,
    typer.Argument(
        metavar="QUESTION", help="What to ask; - or nothing reads questions from stdin.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Put the commands of this file into the app."""
    for command in (ask, preview, graph):
        app.command(cls=PlainCommand)(command)


def ask(
    ctx: typer.Context,
    question: Question = None,
    image: options.Images = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="FILE", help="Questions: one a line, or JSON lines with `question`."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Results of --file; what is in it already is not asked again."
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option("--parallel", "-j", metavar="N", min=1, max=256, help="Questions of --file side by side.")
    ] = 4,
    policy: options.Policy = None,
    protocol: options.Protocol = None,
    budget_usd: options.BudgetUsd = None,
    budget_tokens: options.BudgetTokens = None,
    seconds: options.Seconds = None,
    max_steps: options.MaxSteps = None,
    k: options.K = None,
    only: options.Only = None,
    exclude: options.Exclude = None,
    pin: options.Pin = None,
    seed: options.Seed = None,
    explore: options.Explore = None,
    record: options.Record = None,
    knowledge: options.Location = None,
    pool: options.Pool = None,
    config: options.Config = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer, and nothing else.")] = False,
    why: options.Why = False,
    as_json: options.AsJSON = False,
) -> None:
    """Ask a question; see whom it asks, what comes back and what that costs, then the answer with its sources.

    polyroute ask "Which moon has an ocean?" --why

    polyroute ask --file examples/questions.jsonl --out results.jsonl

    polyroute ask --file examples/questions.jsonl --explore 0.5 --record runs --seed 1 --quiet

    polyroute ask --file examples/questions.jsonl --explore 0.5 --record runs --seed 2 --quiet

    Questions of a file, or of stdin, give a line of JSON each. Exit code 1 where
    there is no answer, or one of many questions failed.
    """
    many = file is not None or question in (None, "-")
    _check_usage(question, file, out, image, many=many)
    if not many:
        _ask_one(ctx.params, str(question), image or [], quiet=quiet, why=why, as_json=as_json)
        return
    from router_graph import cli_ask_many

    questions = cli_ask_many.read_questions(file)
    with options.opened(ctx.params) as router:
        failed = cli_ask_many.ask_all(router, questions, out=out, parallel=parallel, quiet=quiet)
    if failed:
        raise typer.Exit(1)


def preview(
    ctx: typer.Context,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What would be asked.", show_default=False)],
    policy: options.Policy = None,
    protocol: options.Protocol = None,
    budget_usd: options.BudgetUsd = None,
    budget_tokens: options.BudgetTokens = None,
    only: options.Only = None,
    exclude: options.Exclude = None,
    pin: options.Pin = None,
    seed: options.Seed = None,
    knowledge: options.Location = None,
    pool: options.Pool = None,
    config: options.Config = None,
    as_json: options.AsJSON = False,
) -> None:
    """Show who would be asked first, at which price, and who could not be asked and why. Spends nothing.

    polyroute preview "Which moon has an ocean?" --policy gate
    """
    from dataclasses import asdict

    from kb_tools import terminal
    from router_graph import cli_ask_print, explain
    from router_graph.cli_ask_run import check_question

    check_question(question)
    with options.opened(ctx.params) as router:
        about = explain.preview(router.resources, question)
    if as_json:
        terminal.print_json(asdict(about))
    else:
        cli_ask_print.print_preview(about)


def graph() -> None:
    """Print the graph as Mermaid, which Markdown viewers draw.

    polyroute graph
    """
    from router_graph.graph import create_router

    typer.echo(create_router().get_graph().draw_mermaid().rstrip())


def _ask_one(
    given: Mapping[str, Any], question: str, images: Sequence[Path], *, quiet: bool, why: bool, as_json: bool
) -> None:
    from kb_tools import terminal
    from router_graph import cli_ask_print
    from router_graph.cli_ask_run import Conversation, facts
    from router_graph.cli_ask_story import Story
    from router_graph.cli_loop import command_loop
    from router_graph.images import image_url

    pictures = [image_url(path) for path in images]
    with options.opened(given) as router, Story(shown=not (quiet or as_json)) as story, command_loop() as loop:
        talk = Conversation(router, on_event=story.tell, approve=story.approve)
        try:
            result = loop.run(talk.ask(question, pictures))
        except BaseException:  # what was paid is told, even if nothing came of it
            cli_ask_print.note_bill(talk.paid())
            raise
    if as_json:
        terminal.print_json(facts(question, result))
    elif quiet:
        cli_ask_print.print_plainly(result["answer"])
    else:
        cli_ask_print.print_answer(result)
        if why:
            cli_ask_print.print_why(result)
        cli_ask_print.print_bill(result["ledger"])
    if result["stop_reason"] in ("no_answer", "policy_failed"):
        raise typer.Exit(1)


def _check_usage(
    question: str | None, file: Path | None, out: Path | None, image: list[Path] | None, *, many: bool
) -> None:
    if question not in (None, "-") and file is not None:
        raise typer.BadParameter("give a question or a file of questions, not both.", param_hint="--file")
    if not many and out is not None:
        raise typer.BadParameter(
            "it is for the results of --file or stdin; one answer goes to stdout.", param_hint="--out"
        )
    if many and image:
        raise typer.BadParameter("it goes with one question, and not with many.", param_hint="--image")
    if question is None and file is None and sys.stdin.isatty():
        raise QuestionError('There is no question; ask one, as in polyroute ask "…", or give a file with --file.')
