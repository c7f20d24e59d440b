"""`polyroute runs`: the log of recorded runs, from the command line. Results go to stdout, the rest to stderr."""

from __future__ import annotations

import collections
import enum
import heapq
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from kb_tools.cli import HELP
from kb_tools.cli_command import PlainCommand, PlainGroup
from router_graph import cli_runs_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from router_graph.trajectories.export.exporting import Form as TableForm
    from router_graph.trajectories.records import RunRecord

DEFAULT_FOLDER = "runs"
FOLDER_VARIABLE = "POLYROUTE_RUNS"

app = typer.Typer(
    cls=PlainGroup,
    name="runs",
    help="List, show, view, check, compact and export the runs that were recorded.",
    no_args_is_help=True,
    context_settings=HELP,
    pretty_exceptions_enable=False,
)


cli_runs_view.register(app)


class Form(enum.StrEnum):
    """What runs can be exported to: `trajectories.export.FORMS`, which takes long to import, or the page of a run."""

    trl = "trl"
    verl = "verl"
    atif = "atif"
    csv = "csv"
    html = "html"


class Status(enum.StrEnum):
    """How a run stands."""

    ended = "ended"
    failed = "failed"
    open = "open"


Folder = Annotated[
    Path,
    typer.Option(
        "--runs",
        "-r",
        envvar=FOLDER_VARIABLE,
        metavar="FOLDER",
        help="The folder that runs were recorded in or compacted to, or one shard.",
    ),
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
OfStatus = Annotated[Status | None, typer.Option("--status", help="Only runs of this status.", show_default=False)]
OfPolicy = Annotated[
    str | None,
    typer.Option("--policy", metavar="NAME", help="Only runs in which this policy decided.", show_default=False),
]
OfQuestion = Annotated[
    str | None,
    typer.Option("--question-id", metavar="ID", help="Only runs of this question.", show_default=False),
]


@app.command("list", cls=PlainCommand)
def list_(
    folder: Folder = Path(DEFAULT_FOLDER),
    status: OfStatus = None,
    policy: OfPolicy = None,
    question_id: OfQuestion = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="The newest N.")] = 20,
    as_json: AsJSON = False,
) -> None:
    """List the newest runs: when, by which policy, what came of them, what they cost.

    polyroute runs list
    """
    from kb_tools import terminal
    from router_graph import cli_runs_print
    from router_graph.trajectories.damage import LogReport

    report = LogReport()
    counted = collections.Counter[str]()

    def told() -> Iterator[tuple[float, int, RunRecord]]:
        for run in _runs(folder, report, _chosen(status, policy, question_id)):
            counted["runs"] += 1
            yield run.at, counted["runs"], run

    newest = [run for _, _, run in heapq.nlargest(limit, told())]
    if as_json:
        terminal.print_json([cli_runs_print.line_of(run) for run in newest])
    else:
        cli_runs_print.print_runs(newest, counted["runs"])
    cli_runs_print.note_damage(report)


@app.command(cls=PlainCommand)
def show(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Its id, or how it begins; `last` for the newest.", show_default=False),
    ],
    folder: Folder = Path(DEFAULT_FOLDER),
    as_json: AsJSON = False,
) -> None:
    """Show a run step by step: the options with their chances and prices, what was asked, what came back.

    polyroute runs show last
    """
    from kb_tools import terminal
    from router_graph import cli_runs_print
    from router_graph.trajectories.damage import LogReport

    report = LogReport()
    found = _the_run(folder, run, report)
    (terminal.print_json if as_json else cli_runs_print.print_run)(found)
    cli_runs_print.note_damage(report)


@app.command(cls=PlainCommand)
def stats(
    folder: Folder = Path(DEFAULT_FOLDER),
    status: OfStatus = None,
    policy: OfPolicy = None,
    as_json: AsJSON = False,
) -> None:
    """Count what a log holds: runs, costs, actions of each policy, and how well each option is supported.

    polyroute runs stats
    """
    from kb_tools import terminal
    from router_graph import cli_runs_print
    from router_graph.trajectories.damage import LogReport
    from router_graph.trajectories.statistics import as_plain, facts_of

    report = LogReport()
    facts = facts_of(_runs(folder, report, _chosen(status, policy, None)))
    if as_json:
        terminal.print_json(as_plain(facts))
    else:
        cli_runs_print.print_facts(facts)
    cli_runs_print.note_damage(report)


@app.command(cls=PlainCommand)
def check(folder: Folder = Path(DEFAULT_FOLDER), as_json: AsJSON = False) -> None:
    """Look for damage, runs that are not whole, and what cannot be learned from. Exit code 1 if there is damage.

    polyroute runs check
    """
    from kb_tools import terminal
    from router_graph import cli_runs_print
    from router_graph.trajectories.damage import LogReport
    from router_graph.trajectories.findings import findings_of

    report = LogReport()
    found = findings_of(_runs(folder, report), report)
    if as_json:
        counts = {name: getattr(report, name) for name in ("shards", "lines", "bytes", "runs", "damaged")}
        terminal.print_json({**counts, "findings": found})
    else:
        cli_runs_print.print_findings(found, report)
    if any(one.severity == "damage" for one in found):
        raise typer.Exit(1)


@app.command(cls=PlainCommand)
def compact(
    into: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where the parquet files shall be.", show_default=False)
    ],
    folder: Folder = Path(DEFAULT_FOLDER),
    as_json: AsJSON = False,
) -> None:
    """Write the runs to parquet files, for training and statistics. The recorded files stay as they are.

    polyroute runs compact parquet
    """
    from kb_tools import terminal
    from router_graph import cli_runs_print
    from router_graph.trajectories.compact import compact as to_parquet
    from router_graph.trajectories.damage import LogReport

    report = LogReport()
    with cli_runs_print.progress("runs") as on_progress:
        manifest = to_parquet(folder, into, report=report, on_progress=on_progress)
    if as_json:
        terminal.print_json(manifest)
    else:
        cli_runs_print.print_manifest(into, manifest)
    cli_runs_print.note_damage(report)


@app.command(cls=PlainCommand)
def export(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The file to write; for atif a folder.", show_default=False)
    ],
    to: Annotated[
        Form, typer.Option("--to", help="The form: of TRL, of verl, of Harbor (ATIF), a table, or the page of one run.")
    ],
    folder: Folder = Path(DEFAULT_FOLDER),
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Of html: its id, or how it begins; `last`.", show_default=False),
    ] = None,
    status: OfStatus = None,
    policy: OfPolicy = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write the runs for another tool, or one as a page that opens in any browser and holds no secrets.

    polyroute runs export runs.jsonl --to trl

    polyroute runs export runs.csv --to csv

    polyroute runs export run.html --to html --run last
    """
    from router_graph import cli_runs_print
    from router_graph.trajectories.damage import LogReport
    from router_graph.trajectories.export import export as write

    report = LogReport()
    if to is Form.html:
        if run is None:
            raise typer.BadParameter("it is needed for a page; say which, as in --run last.", param_hint="--run")
        cli_runs_view.write_page(_the_run(folder, run, report), folder, path, overwrite=overwrite)
        return
    if run is not None:
        raise typer.BadParameter(f"it goes with --to html; {to.value} takes all runs.", param_hint="--run")
    runs = _runs(folder, report, _chosen(status, policy, None))
    cli_runs_print.note_export(write(runs, cast("TableForm", to.value), path, overwrite=overwrite))
    cli_runs_print.note_damage(report)


def _runs(folder: Path, report: object, where: Callable[[RunRecord], bool] | None = None) -> Iterator[RunRecord]:
    from router_graph.trajectories.damage import LogReport
    from router_graph.trajectories.reader import read_runs

    assert isinstance(report, LogReport)
    return read_runs(folder, where=where, report=report)


def _chosen(status: Status | None, policy: str | None, question_id: str | None) -> Callable[[RunRecord], bool] | None:
    if status is None and policy is None and question_id is None:
        return None

    def chosen(run: RunRecord) -> bool:
        return (
            (status is None or run.status == status.value)
            and (question_id is None or run.question_id == question_id)
            and (policy is None or any(one.step["decision"]["policy"] == policy for one in run.steps))
        )

    return chosen


def _the_run(folder: Path, name: str, report: object) -> RunRecord:
    """The run of this id, or the only one whose id begins so. Raises `LogError`."""
    from router_graph.trajectories.shards import LogError

    runs = _runs(folder, report)
    if name == "last":
        return max(runs, key=lambda run: run.at)
    found: list[RunRecord] = []
    for run in runs:
        if run.run_id == name:
            return run
        if run.run_id.startswith(name):
            found = [*found, run][:2]
    if not found:
        raise LogError(f"There is no run {name!r} in {folder}; `polyroute runs list` shows those that there are.")
    if len(found) > 1:
        ids = " and ".join(run.run_id for run in found)
        raise LogError(f"Several runs begin with {name!r}, as {ids}; give more of the id.")
    return found[0]
