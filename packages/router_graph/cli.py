"""The `polyroute` command: the composition root. What a user got wrong becomes one sentence, never a traceback."""

from __future__ import annotations

import os
import signal
import sys

try:
    from importlib.metadata import version
    from threading import Event
    from types import FrameType
    from typing import Annotated, Any

    import typer

    from kb_tools.cli import HELP, complain
    from kb_tools.cli import USER_ERRORS as KB_ERRORS
    from kb_tools.cli import app as kb_app
    from kb_tools.cli_command import PlainGroup
    from mote_backend.errors import MoTEError
    from router_graph import cli_ask, cli_chat, cli_doctor, cli_eval, cli_failures, cli_init, cli_serve, cli_start
    from router_graph.cli_mote import app as mote_app
    from router_graph.cli_pool import app as pool_app
    from router_graph.cli_runs import app as runs_app
    from router_graph.errors import RouterError
    from router_training.cli import app as train_app
    from router_training.errors import TrainingError
except KeyboardInterrupt:  # importing takes long enough for a user to change their mind
    sys.stderr.write("Interrupted.\n")
    sys.exit(130)
except ImportError as broken:
    if "--debug" in sys.argv:
        raise
    sys.stderr.write(f"polyroute: the installation is not whole ({broken}); install it again: pip install polyroute\n")
    sys.exit(1)

USER_ERRORS = (*KB_ERRORS, RouterError, MoTEError, TrainingError)
"""What a command may raise because of what it was given: shown as one sentence, never as a traceback."""

_interrupted = Event()


_Usage: type[Exception] = typer.BadParameter.__mro__[2]
"""ClickException: a mistake in the options, which the framework tells. Typer brings a click of its own, or not."""


class Sentences(PlainGroup):
    """A group of commands whose errors end in one line on stderr: exit code 1 for what the user can mend, 70 for what
    nobody foresaw, 130 for Ctrl-C."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """`--debug` may stand anywhere: whoever has just seen an error appends it."""
        end = args.index("--") if "--" in args else len(args)
        if "--debug" in args[:end]:
            args = ["--debug", *(one for one in args[:end] if one != "--debug"), *args[end:]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("Interrupted.")
            raise typer.Exit(cli_failures.INTERRUPTED) from None
        except (BrokenPipeError, typer.Exit, typer.Abort, _Usage):
            raise  # the reader of our output has left: no news; the others the framework tells
        except Exception as error:
            if _interrupted.is_set():  # while a foreign module was imported, which made an error of its own of it
                complain("Interrupted.")
                raise typer.Exit(cli_failures.INTERRUPTED) from None
            expected = isinstance(error, USER_ERRORS)
            raise typer.Exit(
                cli_failures.tell(error, expected=expected, debug=bool(ctx.params.get("debug")))
            ) from error


app = typer.Typer(
    cls=Sentences,
    help="Learn, step by step, where to ask next: which knowledge base, which model, or nobody.",
    context_settings=HELP,
    pretty_exceptions_enable=False,
)
for commands in (cli_ask, cli_chat, cli_init, cli_eval, cli_serve, cli_doctor):
    commands.register(app)
app.add_typer(kb_app, name="kb")
app.add_typer(pool_app, name="pool")
app.add_typer(runs_app, name="runs")
app.add_typer(train_app, name="train")
app.add_typer(mote_app, name="mote")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"polyroute {version('polyroute')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar=cli_failures.DEBUG_VARIABLE, help="Show the traceback of an error.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        cli_start.show()


def main() -> None:
    """Run `polyroute` with the arguments of the process."""
    for stream in (sys.stdout, sys.stderr):
        # A locale that lacks a character must not cost the user the answer.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job that ignores it keeps doing so
        signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    finally:
        _flush()


def _flush() -> None:
    """Write what is left. Where the reader has left, as in `polyroute … | head`, Python would complain as it ends."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return  # a full disk was told by the command; a closed stream has nothing to write


def _interrupt(number: int, frame: FrameType | None) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
