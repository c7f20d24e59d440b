"""What becomes of an exception that ends a command: one sentence on stderr, and an exit code."""

from __future__ import annotations

import os
import re
import traceback

from kb_tools.cli import as_sentence, complain

INTERRUPTED, MISTAKE, FAULT = 130, 1, 70
"""Exit codes: of Ctrl-C; of what the user can mend; of what nobody foresaw (EX_SOFTWARE of sysexits.h)."""
DEBUG_VARIABLE = "POLYROUTE_DEBUG"

_SECRET_NAME = re.compile(r"key|token|secret|password|passwd", re.IGNORECASE)
_SHORTEST_SECRET = 8
_LONGEST = 500


def tell(error: Exception, *, expected: bool, debug: bool) -> int:
    """Say on stderr what went wrong, without the secrets of the environment; the exit code.

    `expected` are mistakes that the user can mend. With `debug` the traceback comes first.
    """
    sentence = as_sentence(error) if expected else _of_a_fault(error, debug=debug)
    if debug:
        for line in without_secrets("".join(traceback.format_exception(error))).splitlines():
            _print(line)
    complain(without_secrets(f"polyroute: {sentence}"))
    return MISTAKE if expected else FAULT


def without_secrets(text: str) -> str:
    """The text without what looks like a key, and without the values of variables that are called like one."""
    from router_graph.trajectories.redact import Secrets

    known = [
        value for name, value in os.environ.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
    ]
    return Secrets(known=tuple(known))(text)


def _of_a_fault(error: Exception, *, debug: bool) -> str:
    said = " ".join(str(error).split())
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
    what = f"{type(error).__name__}: {said}".rstrip(": .")
    if isinstance(error, ModuleNotFoundError):
        return f"{what}. polyroute doctor says which part of the installation is missing."
    do = "report it with the traceback above" if debug else "run it again with --debug for the traceback, and report it"
    return f"{what}. This is a fault of Polyroute and not yours; {do}."


def _print(line: str) -> None:
    import typer

    from kb_tools.terminal import plain

    typer.echo(plain(line), err=True)
