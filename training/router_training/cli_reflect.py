"""`polyroute train reflect`: better words for the same policy, written from its failures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kb_tools.cli_command import PlainCommand
from router_training.cli_options import AsJSON, Seed
from router_training.errors import ConfigError, DataError

if TYPE_CHECKING:
    from router_graph.settings_live import Router
    from router_training.reflect.texts import Build
    from router_training.reflect.trial import Task


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command(cls=PlainCommand)(reflect)


def reflect(
    questions: Annotated[
        Path,
        typer.Argument(metavar="QUESTIONS", help="JSON lines of id, question and golden_answers.", show_default=False),
    ],
    router: Annotated[
        Path, typer.Option("--router", metavar="FILE", help="The router.yaml whose descriptions are to be better.")
    ] = Path("router.yaml"),
    writer: Annotated[
        str,
        typer.Option("--writer", metavar="NAME", help="The model of its pool that writes them.", show_default=False),
    ] = "",
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="KEY", help="Change this alone, as kb:NAME or advice; repeat for more."),
    ] = None,
    most_runs: Annotated[int, typer.Option("--most-runs", metavar="N", min=1, help="Runs of the graph.")] = 200,
    budget: Annotated[
        float | None,
        typer.Option("--budget", metavar="USD", min=0.0, help="The most that these may cost.", show_default=False),
    ] = None,
    held_out: Annotated[
        float, typer.Option("--held-out", metavar="SHARE", help="Of the questions, to judge by.")
    ] = 0.3,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write the texts there, if they gain.", show_default=False),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Put the texts into the router's file, if they gain; its comments stay.")
    ] = False,
    seed: Seed = 0,
    as_json: AsJSON = False,
) -> None:
    """Rewrite descriptions and advice from failures (GEPA); show the difference, and drop it where it does not gain.

    polyroute train reflect examples/questions.jsonl --writer fast --most-runs 60 --budget 0.50

    Nothing of the router is changed unless you say so: what is better is shown, written to --out, and with --write put
    into the router's file as `advice` and `descriptions`.
    """
    from dataclasses import asdict

    from kb_tools import terminal
    from router_graph.settings_live import load_router
    from router_training.reflect.search import reflect as search
    from router_training.reflect.texts import save_texts, texts_of, write_texts

    tasks, judged_by = _sides(questions, held_out)
    with load_router(router) as opened:
        pool = opened.resources.pool
        if not writer or pool is None:
            there_is = ", ".join(pool.cards) if pool else "no pool of models"
            raise ConfigError(
                f"Who writes is not told; name a model of the router's pool, as in --writer NAME ({there_is})."
            )
        found = search(
            _builder(opened),
            texts_of(opened.resources.knowledge, pool, advice=opened.settings.advice or ""),
            tasks,
            judged_by,
            pool.as_chat_model(writer),
            components=only or None,
            most_runs=most_runs,
            most_usd=budget,
            seed=seed,
            tell=terminal.note,
        )
    if as_json:
        told = asdict(found)
        terminal.print_json({**told, "gained": found.gained, "difference": found.difference, "verdict": found.verdict})
    else:
        terminal.console().print(terminal.plain(found.difference), soft_wrap=True, end="")
        terminal.console().print(terminal.one_line(found.verdict), soft_wrap=True)
    if out is not None and found.gained:
        save_texts(found.texts, out)
        terminal.note(f"The texts were written to {out}; --write puts them into {router} as well.")
    if write and found.gained:
        write_texts(found.before, found.texts, router)
        terminal.note(f"The texts stand in {router} now, as `advice` and `descriptions`.")


def _sides(path: Path, held_out: float) -> tuple[list[Task], list[Task]]:
    """Questions to search with, and to judge by. A question's side depends on its text alone."""
    from router_graph.evaluation.gold import Gold
    from router_graph.evaluation.questions import mark_of
    from router_training.reflect.trial import Task
    from router_training.running import read_questions

    if not 0 < held_out < 1:
        raise ConfigError(f"--held-out is {held_out:g}; it is a share of the questions, between 0 and 1.")
    sides: tuple[list[Task], list[Task]] = ([], [])
    asked = read_questions(path)
    for one in asked:
        is_held = int(mark_of(one.question), 16) / 2**64 < held_out
        sides[is_held].append(Task(one.question, Gold(one.answers)))
    if not all(sides):
        raise DataError(
            f"Of {len(asked):,} questions, {len(sides[0]):,} are to search with and {len(sides[1]):,} to judge by; "
            "give more, or change --held-out."
        )
    return sides


def _builder(opened: Router) -> Build:
    from router_graph.context import RouterContext
    from router_training.reflect.texts import graph_builder

    resources, settings = opened.resources, opened.settings
    options: dict[str, Any] = {
        "defaults": RouterContext.model_validate(settings.turn.model_dump(exclude_unset=True)),
        "exclusions": settings.exclusions,
    }
    policy, protocol = resources.defaults["policy"], settings.protocol or "tags"
    return graph_builder(resources.knowledge, pool=resources.pool, policy=policy, protocol=protocol, **options)
