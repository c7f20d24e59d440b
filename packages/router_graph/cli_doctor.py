"""`polyroute doctor`: is all that is needed here, and what to do where it is not."""

from __future__ import annotations

import sys
import textwrap
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kb_tools.cli_command import PlainCommand

if TYPE_CHECKING:
    from router_graph.doctor.examine import Part
    from router_graph.doctor.finding import State

_MARKS: dict[State, tuple[str, str, str]] = {
    "ok": ("✓", "+", "green"),
    "warning": ("!", "!", "yellow"),
    "problem": ("✗", "x", "bold red"),
}
"""Of each state: its mark, the mark where the terminal has no such character, and its colour."""
_INDENT = " " * 14
_NARROWEST = 24
_WORSE: tuple[State, ...] = ("problem", "warning")


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command(cls=PlainCommand)(doctor)


def doctor(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="The settings; router.yaml if there is one. POLYROUTE_CONFIG too.",
            show_default=False,
        ),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Connect to no server.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Look at every document and run, and at the GPU; takes its time.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check the installation, and say what to do: versions, settings, knowledge bases, keys, servers, runs, disk, GPU.

    polyroute doctor

    polyroute doctor --offline --json

    No model is asked, nothing is spent and nothing is written; of keys only the names are told. Exit code 1 if there
    is a problem.
    """
    from router_graph.cli_failures import without_secrets
    from router_graph.doctor.examine import examine

    begun = time.monotonic()
    parts = []
    strict = bool(ctx.find_root().params.get("debug"))
    for part in examine(config, offline=offline, deep=deep, strict=strict):
        safe = [replace(one, what=without_secrets(one.what)) for one in part.findings]
        parts.append(replace(part, findings=safe))
        if not as_json:
            _print(parts[-1])
    states = Counter(one.state for part in parts for one in part.findings)
    seconds = time.monotonic() - begun
    if as_json:
        from kb_tools import terminal

        findings = [{"part": part.name, **asdict(one)} for part in parts for one in part.findings]
        terminal.print_json({"ok": not states["problem"], "findings": findings, "seconds": round(seconds, 2)})
    else:
        _print_last(states, seconds)
    if states["problem"]:
        raise typer.Exit(1)


def _print(part: Part) -> None:
    from rich.text import Text

    from kb_tools import terminal

    out = terminal.console()
    out.print(Text(part.name, style="bold"))
    for one in part.findings:
        mark, plain, style = _MARKS[one.state]
        first, *others = _wrapped(terminal.one_line(f"{one.what}."), out.width if out.is_terminal else None)
        lead = f"  {mark if _can_say(mark) else plain} {one.state:<9} "
        out.print(Text.assemble((lead, style), first), soft_wrap=True)
        for line in others:
            out.print(_INDENT + line, soft_wrap=True)
        if one.remedy:
            out.print(
                f"{_INDENT}{terminal.one_line(one.remedy)}", style="dim" if one.state == "ok" else "", soft_wrap=True
            )


def _print_last(states: Counter[State], seconds: float) -> None:
    from kb_tools import terminal

    counted = [f"{states[one]} {one}{'' if states[one] == 1 else 's'}" for one in _WORSE if states[one]]
    said = f"{' and '.join(counted) or 'All is well'}; {seconds:.1f} s."
    terminal.console().print(f"\n{said[0].upper()}{said[1:]}", soft_wrap=True)


def _wrapped(text: str, width: int | None) -> list[str]:
    """Lines that stand beside the marks; in a pipe one."""
    if width is None:
        return [text]
    return textwrap.wrap(text, max(width - len(_INDENT), _NARROWEST), break_on_hyphens=False) or [""]


def _can_say(mark: str) -> bool:
    try:
        mark.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
