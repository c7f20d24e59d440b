"""`polyroute chat`: one thread, in which a question sees what was said before."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kb_tools.cli_command import PlainCommand
from router_graph import cli_ask_options as options
from router_graph.errors import QuestionError, RouterError

if TYPE_CHECKING:
    import asyncio

    from router_graph.cli_ask_run import Conversation
    from router_graph.ledger import Entries

_COMMANDS = {
    "/why": "what the steps of the last question could have done",
    "/bill": "what all of it has cost",
    "/quit": "end; Ctrl-D does too",
}


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command(cls=PlainCommand)(chat)


def chat(
    ctx: typer.Context,
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
    thread: Annotated[
        str | None,
        typer.Option(
            "--thread",
            metavar="NAME",
            help="Go on with this thread; needs `checkpoints:` with a file in router.yaml.",
            show_default=False,
        ),
    ] = None,
    knowledge: options.Location = None,
    pool: options.Pool = None,
    config: options.Config = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the answers, and nothing else.")] = False,
) -> None:
    """Ask on and on: each question sees those before it. /why, /bill, /quit; limits hold for each question.

    polyroute chat --max-steps 4

    echo "Who discovered Titan?" | polyroute chat --quiet
    """
    from router_graph.cli_ask_run import Conversation
    from router_graph.cli_ask_story import Story
    from router_graph.cli_loop import command_loop
    from router_graph.errors import SettingsError

    with options.opened(ctx.params) as router, Story(shown=not quiet) as story, command_loop() as loop:
        if thread is not None and router.checkpointer is None:
            raise SettingsError("--thread needs a file of threads; write `checkpoints: threads.sqlite` in router.yaml.")
        talk = Conversation(
            router, on_event=story.tell, approve=story.approve, checkpointer=router.checkpointer, thread=thread
        )
        if sys.stdin.isatty():
            typer.echo(f"Ask. {'; '.join(f'{name}: {does}' for name, does in _COMMANDS.items())}.", err=True)
        _Talk(talk, loop, quiet=quiet).go()


class _Talk:
    def __init__(self, conversation: Conversation, loop: asyncio.Runner, *, quiet: bool) -> None:
        self._conversation, self._loop, self._quiet = conversation, loop, quiet
        self._last: dict[str, Any] | None = None
        self._ledger: Entries = {}
        self._failed = False

    def go(self) -> None:
        """Until the end of the input, or /quit. Raises `typer.Exit` where a question that nobody typed failed."""
        from router_graph.cli_ask_print import print_bill

        while (line := _read()) is not None and line != "/quit":
            if line:
                self._answer(line)
        if self._ledger and not self._quiet:
            print_bill(self._ledger)
        if self._failed and not sys.stdin.isatty():
            raise typer.Exit(1)

    def _answer(self, line: str) -> None:
        from kb_tools import terminal
        from router_graph import cli_ask_print
        from router_graph.ledger import merge_entries

        if line == "/bill":
            cli_ask_print.print_bill(self._ledger)
        elif line == "/why":
            if self._last is None:
                terminal.note("Nothing was asked yet.")
            else:
                cli_ask_print.print_why(self._last)
        elif line.startswith("/"):
            terminal.note(f"There is no {line.split()[0]}; there is {', '.join(_COMMANDS)}.")
        else:
            try:
                self._last = result = self._loop.run(self._conversation.ask(line))
            except RouterError as error:  # the thread is as it was
                self._failed = True
                terminal.note(str(error))
                return
            self._ledger = merge_entries(self._ledger, result["ledger"])
            if self._quiet:
                cli_ask_print.print_plainly(result["answer"])
            else:
                cli_ask_print.print_answer(result)


def _read() -> str | None:
    """A line, or None at the end."""
    try:
        return (input("\n> ") if sys.stdin.isatty() else input()).strip()
    except EOFError:
        return None
    except UnicodeDecodeError:
        raise QuestionError("What was typed is no text in UTF-8.") from None
