"""The `polyroute` command: the composition root. What a user got wrong becomes one sentence, never a traceback."""

from __future__ import annotations

import signal
import sys

try:
    from importlib.metadata import version
    from threading import Event
    from types import FrameType
    from typing import Annotated, Any

    import typer
    from typer.core import TyperGroup

    from kb_tools.cli import HELP, as_sentence, complain
    from kb_tools.cli import USER_ERRORS as KB_ERRORS
    from kb_tools.cli import app as kb_app
    from mote_backend.errors import MoTEError
    from router_graph import cli_ask, cli_chat, cli_eval, cli_init, cli_serve
    from router_graph.cli_mote import app as mote_app
    from router_graph.cli_pool import app as pool_app
    from router_graph.cli_runs import app as runs_app
    from router_graph.errors import RouterError
    from router_training.cli import app as train_app
    from router_training.errors import TrainingError
except KeyboardInterrupt:  # importing takes long enough for a user to change their mind
    sys.stderr.write("Interrupted.\n")
    sys.exit(130)

USER_ERRORS = (*KB_ERRORS, RouterError, MoTEError, TrainingError)
"""What a command may raise because of what it was given: shown as one sentence, never as a traceback."""

_interrupted = Event()


class Sentences(TyperGroup):
    """A group of commands whose expected errors end in one line on stderr and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("Interrupted.")
            raise typer.Exit(130) from None
        except (BrokenPipeError, typer.Exit):
            raise  # the reader of our output has left: no news, and the framework ends quietly
        except Exception as error:
            if _interrupted.is_set():  # while a foreign module was imported, which made an error of its own of it
                complain("Interrupted.")
                raise typer.Exit(130) from None
            if not isinstance(error, USER_ERRORS):
                raise
            complain(f"polyroute: {as_sentence(error)}")
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=Sentences,
    help="Learn, step by step, where to ask next: which knowledge base, which model, or nobody.",
    no_args_is_help=True,
    context_settings=HELP,
    pretty_exceptions_enable=False,
)
for commands in (cli_ask, cli_chat, cli_init, cli_eval, cli_serve):
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


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run `polyroute` with the arguments of the process."""
    for stream in (sys.stdout, sys.stderr):
        # A locale that lacks a character must not cost the user the answer.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job that ignores it keeps doing so
        signal.signal(signal.SIGINT, _interrupt)
    app()


def _interrupt(number: int, frame: FrameType | None) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
