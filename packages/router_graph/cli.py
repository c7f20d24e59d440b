"""The `polyroute` command: the composition root. What a user got wrong becomes one sentence, never a traceback."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kb_tools.cli import USER_ERRORS, as_sentence, complain
from kb_tools.cli import app as kb_app


class Sentences(TyperGroup):
    """A group of commands whose expected errors end in one line on stderr and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("Interrupted; what was added is kept.")
            raise typer.Exit(130) from None
        except BrokenPipeError:
            raise  # the reader of our output has left: no news, and the framework ends quietly
        except USER_ERRORS as error:
            complain(f"polyroute: {as_sentence(error)}")
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=Sentences,
    help="Learn, step by step, where to ask next: which knowledge base, which model, or nobody.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(kb_app, name="kb")


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
    app()


if __name__ == "__main__":
    main()
