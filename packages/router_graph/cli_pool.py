"""`polyroute pool`: the models of a pool file, from the command line. Results go to stdout, the rest to stderr."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kb_tools.cli import HELP, as_sentence
from kb_tools.cli_command import PlainCommand, PlainGroup
from router_graph.cli_loop import command_loop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router_graph.ledger import Ledger
    from router_graph.pool import ModelPool
    from router_graph.pool.probe import ProbeReport

DEFAULT_FILE = "pool.yaml"
FILE_VARIABLE = "POLYROUTE_POOL"

_QUESTION, _MOST_TOKENS = "Reply with one word: ready.", 16

app = typer.Typer(
    cls=PlainGroup,
    name="pool",
    help="List, show, test and probe the models of a pool file.",
    no_args_is_help=True,
    context_settings=HELP,
    pretty_exceptions_enable=False,
)


def _usd(value: float) -> float:
    if not 0 < value < float("inf"):
        raise typer.BadParameter(f"it is {value:g}; a budget is more than 0 USD.", param_hint="--budget")
    return value


File = Annotated[
    Path, typer.Option("--pool", "-p", envvar=FILE_VARIABLE, metavar="FILE", help="The YAML file of the pool.")
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Usd = Annotated[float, typer.Option("--budget", metavar="USD", help="The most to spend.", callback=_usd)]


@app.command("list", cls=PlainCommand)
def list_(file: File = Path(DEFAULT_FILE), as_json: AsJSON = False) -> None:
    """List the models: price, context, what they can, who sees what is sent, whether a key is set.

    polyroute pool list -p examples/pool.yaml
    """
    from kb_tools import terminal
    from router_graph import cli_pool_facts, cli_pool_print
    from router_graph.pool.pool_file import load_pool

    about = [cli_pool_facts.facts(card) for card in load_pool(file).cards.values()]
    (terminal.print_json if as_json else cli_pool_print.print_models)(about)


@app.command(cls=PlainCommand)
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the model.", show_default=False)],
    file: File = Path(DEFAULT_FILE),
    as_json: AsJSON = False,
) -> None:
    """Show all of a model's card, what a call costs at the most, and the line that a policy reads.

    polyroute pool show fast -p examples/pool.yaml
    """
    from kb_tools import terminal
    from router_graph import cli_pool_facts, cli_pool_print
    from router_graph.pool.pool_file import load_pool

    pool = load_pool(file)
    about = cli_pool_facts.all_facts(pool.card(name), pool.fallbacks.get(name, ()))
    (terminal.print_json if as_json else cli_pool_print.print_model)(about)


@app.command(cls=PlainCommand)
def test(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Which models; all if left out.", show_default=False)
    ] = None,
    file: File = Path(DEFAULT_FILE),
    budget: Usd = 0.05,
    as_json: AsJSON = False,
) -> None:
    """Ask each model one tiny question, for real. Exit code 1 if one does not answer.

    polyroute pool test -p examples/pool_mote.yaml
    """
    from kb_tools import terminal
    from router_graph import cli_pool_facts, cli_pool_print
    from router_graph.pool.pool_file import load_pool

    pool = load_pool(file)
    chosen = _chosen(pool, names)
    ledger = _ledger(budget)

    async def ask_all() -> list[dict[str, Any]]:
        outcomes = []
        for answered in asyncio.as_completed([_ask(pool, name, ledger) for name in chosen]):
            outcomes.append(outcome := await answered)
            if not as_json:
                cli_pool_print.print_outcome(outcome, max(map(len, chosen)))
        return sorted(outcomes, key=lambda outcome: chosen.index(outcome["name"]))

    with cli_pool_print.billed(ledger, as_json=as_json), command_loop() as loop:
        outcomes = loop.run(ask_all())
    if as_json:
        terminal.print_json({"models": outcomes, "spent": cli_pool_facts.spent(ledger)})
    if not all(outcome["ok"] for outcome in outcomes):
        raise typer.Exit(1)


@app.command(cls=PlainCommand)
def probe(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Which models.", show_default=False)],
    file: File = Path(DEFAULT_FILE),
    budget: Usd = 0.25,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing into the file.")] = False,
    as_json: AsJSON = False,
) -> None:
    """Find out by a few tasks what models are good at, and write it into their cards.

    polyroute pool probe bare -p examples/pool_mote.yaml --dry-run

    Exit code 1 if a model answered so few that nothing follows, or could not be written.
    """
    from kb_tools import terminal
    from router_graph import cli_pool_facts, cli_pool_print
    from router_graph.errors import CardError
    from router_graph.pool.pool_file import load_pool, write_measured

    pool = load_pool(file)
    chosen = _chosen(pool, names)
    ledger = _ledger(budget)
    if not dry_run:
        _check_writable(file)
    reports: list[ProbeReport] = []
    written: list[str] = []

    async def probe_all() -> None:
        from router_graph.pool.probe import probe as ask

        with cli_pool_print.progress(chosen) as of_model:
            work = [ask(pool, name, ledger=ledger, on_progress=of_model(name)) for name in chosen]
            for done in asyncio.as_completed(work):
                reports.append(report := await done)
                if report.is_enough and not dry_run:
                    try:
                        write_measured(file, report.name, report.measured())
                        written.append(report.name)
                    except (CardError, OSError) as error:  # others are still being asked, and are paid for
                        terminal.note(f"{report.name} was not written: {as_sentence(error)}")

    with cli_pool_print.billed(ledger, as_json=as_json):
        try:
            with command_loop() as loop:
                loop.run(probe_all())
        finally:  # what was measured is paid for, and told even if the rest fails
            for report in () if as_json else reports:
                cli_pool_print.print_report(report)
    if as_json:
        models = [cli_pool_facts.report_facts(report) for report in reports]
        terminal.print_json({"models": models, "spent": cli_pool_facts.spent(ledger)})
    for report in reports:
        if not report.is_enough:
            few = f"answered {report.asked} of {len(report.results)} tasks"
            terminal.note(f"{report.name} {few}; of so few nothing follows, and nothing was written.")
    if dry_run:
        terminal.note("Nothing was written (--dry-run).")
    elif written:
        terminal.note(f"Written to {file}: {', '.join(written)}.")
    kept = [report.name for report in reports if report.is_enough] if dry_run else written
    if len(kept) < len(chosen):
        raise typer.Exit(1)


def _chosen(pool: ModelPool, names: Sequence[str] | None) -> list[str]:
    """The models to ask, each once. Raises `UnknownModelError` before anything is spent."""
    chosen = list(dict.fromkeys(names or pool.cards))
    for name in chosen:
        pool.card(name)
    return chosen


def _ledger(usd: float) -> Ledger:
    from router_graph.budget import Budget
    from router_graph.ledger import Ledger

    return Ledger(Budget(usd=usd))


async def _ask(pool: ModelPool, name: str, ledger: Ledger) -> dict[str, Any]:
    from router_graph.errors import RouterError

    try:
        reply = await pool.ainvoke(name, _QUESTION, ledger=ledger, fallbacks=(), retries=0, max_tokens=_MOST_TOKENS)
    except RouterError as error:
        return {"name": name, "ok": False, "error": str(error)}
    return {
        "name": name,
        "ok": True,
        "said": reply.text,
        "seconds": reply.seconds,
        "tokens": reply.usage.tokens if reply.usage else 0,
        "usd": reply.usd,
        "estimated": reply.estimated,
    }


def _check_writable(file: Path) -> None:
    """Raise `CardError` before anything is spent on what could not be kept."""
    from router_graph.errors import CardError

    if not (os.access(file, os.W_OK) and os.access(file.resolve().parent, os.W_OK)):
        raise CardError(f"{file} cannot be written; pass --dry-run to probe without.")
