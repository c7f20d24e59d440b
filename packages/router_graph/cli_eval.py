"""`polyroute eval`: policies side by side on questions whose answers are known, from the command line."""

from __future__ import annotations

import enum
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kb_tools.cli_command import PlainCommand
from router_graph import cli_ask_options as options
from router_graph.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from router_graph.evaluation.evaluating import Evaluation
    from router_graph.evaluation.suites.suite import Suite


Questions = Annotated[
    Path | None,
    typer.Option(
        "--questions",
        metavar="FILE",
        help="Questions of your own: JSON lines of id, question, golden_answers, metadata.",
        show_default=False,
    ),
]


class SuiteName(enum.StrEnum):
    """What can be evaluated by name."""

    ottqa = "ottqa"
    nq_pool = "nq-pool"
    retrieval = "retrieval"
    routerbench = "routerbench"
    routerarena = "routerarena"


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command(name="eval", cls=PlainCommand)(evaluate)


def evaluate(
    suite: Annotated[
        SuiteName | None,
        typer.Argument(metavar="SUITE", help=f"{', '.join(SuiteName)}.", show_default=False),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", metavar="NAME", help="What to compare; repeat for more.", show_default=False),
    ] = None,
    questions: Questions = None,
    layout: Annotated[
        str, typer.Option(metavar="NAME", help="Of --questions: hotpotqa, 2wiki, musique, multimodalqa, flashrag, …")
    ] = "flashrag",
    knowledge: Annotated[
        str | None,
        typer.Option("--kbs", "--kb", metavar="LOCATION", help="Whom to ask --questions: a folder of knowledge bases."),
    ] = None,
    pool: options.Pool = None,
    config: options.Config = None,
    train: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Other questions, to learn a handbook and a kNN from.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the suite's files lie. POLYROUTE_DATA too.", show_default=False),
    ] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Which of its files.")] = "dev",
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The first N questions.", show_default=False)
    ] = None,
    simple: Annotated[bool, typer.Option("--simple/--no-simple", help="Compare with the simple policies.")] = True,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="The metric that decides, as em or f1.", show_default=False)
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="Runs of each policy, seeds 0 to N - 1.")] = 1,
    ablate: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="cards-off, cards-shuffled, prices-inverted: change what is read.",
            show_default=False,
        ),
    ] = None,
    frontier: Annotated[
        bool, typer.Option("--frontier", help="nq-pool: cascades for other limits of the cost too; a minute more.")
    ] = False,
    only: options.Only = None,
    exclude: options.Exclude = None,
    budget_usd: options.BudgetUsd = None,
    max_steps: options.MaxSteps = None,
    parallel: Annotated[
        int, typer.Option("--parallel", "-j", metavar="N", min=1, max=256, help="Questions side by side.")
    ] = 4,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Results; what is in it already is not asked again. eval/SUITE-SPLIT if left out.",
            show_default=False,
        ),
    ] = None,
    write_docs: Annotated[
        Path | None,
        typer.Option(
            "--write-docs", metavar="FILE", help="Put the figures into this document too.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list: an object for each policy.")] = False,
) -> None:
    """Ask policies questions whose answers are known, beside the simple policies that everything has to beat.

    polyroute eval --questions examples/questions.jsonl --limit 6 --policy heuristic

    A suite by its name reads its files from --data FOLDER: ottqa, nq-pool, retrieval, routerbench, routerarena.
    """
    from router_graph.cli_eval_progress import progress
    from router_graph.evaluation import documents
    from router_graph.evaluation.evaluating import Plan
    from router_graph.evaluation.evaluating import evaluate as run
    from router_graph.evaluation.suites import own

    if (suite in (None, SuiteName.retrieval)) != (questions is not None) and suite is not SuiteName.retrieval:
        raise EvaluationError(
            f"Name a suite ({', '.join(SuiteName)}), or give a file with --questions; retrieval goes with either."
        )
    name = f"{suite or 'own'}-{split if questions is None else questions.stem}"
    if write_docs is not None:
        documents.check(write_docs)
    folder = out or Path("eval") / f"{name}{f'-{limit}' if limit else ''}{f'-{ablate}' if ablate else ''}"
    if suite in (SuiteName.routerbench, SuiteName.routerarena):
        table = _table(suite, data)
        _claim(folder, {"suite": table.name, **table.facts})
        _finish(table, folder, write_docs=write_docs, as_json=as_json)
        return
    given = {"only": only, "exclude": exclude, "usd": budget_usd, "max_steps": max_steps}
    plan = Plan(
        policies=policy or (),
        simple=simple,
        metric=metric,
        seeds=range(seeds),
        at_once=parallel,
        context={key: value for key, value in given.items() if value},
        ablation=ablate,
    )
    if questions is None:
        opening = _opened(suite, data, split, limit=limit, frontier=frontier)
    else:
        opening = own.opened(
            questions, config=config, knowledge=knowledge, pool=pool, train=train, limit=limit, layout=layout
        )
    if suite is SuiteName.retrieval:
        with opening as opened, progress() as begin:
            section = _search(opened, folder, as_json=as_json, begin=begin)
        if write_docs is not None:
            documents.put(write_docs, folder.name, section)
        return
    with opening as opened, progress() as begin:
        done = run(opened, plan, folder, command=_command(), begin=begin)
    _finish(done, folder, write_docs=write_docs, as_json=as_json)


def _finish(done: Evaluation, folder: Path, *, write_docs: Path | None, as_json: bool) -> None:
    from kb_tools import terminal
    from router_graph.cli_eval_print import print_evaluation, print_notes
    from router_graph.evaluation import documents, reports
    from router_graph.evaluation.comparing import as_json as told

    reports.write(done, folder)
    if write_docs is not None:
        documents.put(write_docs, folder.name, reports.section(done))
    if as_json:
        terminal.print_json([told(row) for row in done.rows])
    else:
        print_evaluation(done)
    print_notes(done)
    terminal.note(f"Written to {folder}: {', '.join(reports.FILES)}.")


def _table(suite: SuiteName, data: Path | None) -> Evaluation:
    from router_graph.evaluation.evaluating import evaluate_table
    from router_graph.evaluation.readers import routerarena, routerbench

    if data is None:
        raise EvaluationError(f"{suite} is not among the data beside the project; give its folder with --data.")
    reader = routerbench if suite is SuiteName.routerbench else routerarena
    return evaluate_table(str(suite), reader.read(data), command=_command())


def _search(suite: Suite, folder: Path, *, as_json: bool, begin: Callable[[str, int], Callable[[], None]]) -> str:
    from kb_tools import terminal
    from router_graph.cli_eval_print import print_searched
    from router_graph.evaluation.evaluating import about
    from router_graph.evaluation.questions import gold_mark
    from router_graph.evaluation.reports import about_line
    from router_graph.evaluation.suites import retrieval
    from router_graph.evaluation.tables import escaped

    _claim(folder, {"suite": "retrieval", "gold": gold_mark(suite.questions), **suite.facts})
    rows = list(retrieval.searched(suite.questions, suite.resources.knowledge, begin=begin))
    told = about_line(about(_command()))
    section = f"## {escaped(suite.title)}: the searches alone\n\n{told}\n\n{retrieval.markdown(rows)}"
    (folder / "results.md").write_text(section, encoding="utf-8")
    if as_json:
        terminal.print_json([row.to_json() for row in rows])
    else:
        print_searched(suite.title, rows)
    terminal.note(f"Written to {folder}: results.md.")
    return section


def _claim(folder: Path, setup: Mapping[str, object]) -> None:
    from router_graph.evaluation.runner import claim

    try:
        claim(folder, setup)
    except OSError as error:
        raise EvaluationError(f"The results cannot be kept in {str(folder)!r} ({error.strerror}).") from None


def _command() -> str:
    return shlex.join(["polyroute", *sys.argv[1:]])


def _opened(
    suite: SuiteName | None, data: Path | None, split: str, *, limit: int | None, frontier: bool
) -> AbstractContextManager[Suite]:
    from kb_tools import terminal
    from router_graph.evaluation.suites import nq_pool, ottqa

    if suite is SuiteName.nq_pool:
        return nq_pool.opened(data, split, limit=limit, frontier=frontier, say=terminal.note)
    return ottqa.opened(data, split, limit=limit, say=terminal.note)
