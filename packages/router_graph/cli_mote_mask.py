"""`polyroute mote mask`: read, compare and combine masks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kb_tools.cli import HELP
from kb_tools.cli_command import PlainCommand, PlainGroup
from router_graph.cli_mote_options import AsJSON, MaskFile

app = typer.Typer(
    cls=PlainGroup,
    name="mask",
    help="Show, compare and combine masks.",
    no_args_is_help=True,
    context_settings=HELP,
    pretty_exceptions_enable=False,
)


@app.command(cls=PlainCommand)
def show(mask: MaskFile, as_json: AsJSON = False) -> None:
    """Show what a mask switches, and for which model it was made.

    polyroute mote mask show examples/masks/answers.json
    """
    from kb_tools import terminal
    from mote_backend.mask import ExpertMask

    one = ExpertMask.load(mask)
    if as_json:
        terminal.print_json(one.to_json())
        return
    terminal.print_fields(
        {
            "name": one.name,
            "id": one.id,
            "phase": one.phase,
            "off means": one.mode if one.off else None,
            "on means": one.force if one.on else None,
            "made for": str(one.model) if one.model else "any model that has these experts",
        }
    )
    rows = [("off", *expert, None) for expert in sorted(one.off)]
    rows += [("on", *expert, None) for expert in sorted(one.on)]
    rows += [("bias", layer, expert, value) for layer, expert, value in sorted(one.bias)]  # type: ignore[misc]
    if rows:
        terminal.print_rows(["switched", "layer", "expert", "by"], rows, most=len(rows))
    else:
        terminal.note("It switches nothing.")


@app.command(cls=PlainCommand)
def diff(
    one: Annotated[Path, typer.Argument(metavar="FIRST", help="The JSON file of a mask.", show_default=False)],
    other: Annotated[Path, typer.Argument(metavar="SECOND", help="Another.", show_default=False)],
    as_json: AsJSON = False,
) -> None:
    """Show what only the first mask switches, what only the second, and what both.

    polyroute mote mask diff examples/masks/answers.json refusal.json
    """
    from kb_tools import terminal
    from mote_backend.mask import ExpertMask

    first, second = ExpertMask.load(one), ExpertMask.load(other)
    parts = {"only the first": first - second, "only the second": second - first, "both": first - (first - second)}
    if as_json:
        terminal.print_json({name: part.to_json() for name, part in parts.items()})
        return
    rows = [
        (name, kind, layer, expert)
        for name, part in parts.items()
        for kind, experts in (
            ("off", part.off),
            ("on", part.on),
            ("bias", {(layer, expert) for layer, expert, _ in part.bias}),
        )
        for layer, expert in sorted(experts)
    ]
    for field in ("phase", "mode", "force"):
        if getattr(first, field) != getattr(second, field):
            terminal.note(
                f"The {field} of the first is {getattr(first, field)}, of the second {getattr(second, field)}."
            )
    if rows:
        terminal.print_rows(["in", "switched", "layer", "expert"], rows, most=len(rows))
    else:
        terminal.note("Neither switches anything.")


@app.command(cls=PlainCommand)
def combine(
    masks: Annotated[list[Path], typer.Argument(metavar="MASK", help="JSON files of masks.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where the mask goes.", show_default=False)],
    minus: Annotated[
        list[Path] | None, typer.Option(metavar="MASK", help="Leave out what this one switches.", show_default=False)
    ] = None,
    soften: Annotated[
        float | None, typer.Option(metavar="BIAS", help="A bias below 0 in place of off.", show_default=False)
    ] = None,
) -> None:
    """Put masks together into one, of the name of its file.

    polyroute mote mask combine examples/masks/answers.json refusal.json --out both.json
    """
    from functools import reduce
    from operator import add

    from kb_tools import terminal
    from mote_backend.mask import ExpertMask

    made = reduce(add, (ExpertMask.load(path) for path in masks))
    for path in minus or []:
        made = made - ExpertMask.load(path)
    if soften is not None:
        made = made.softened(soften)
    made.named(out.stem).save(out)
    terminal.note(f"{out}: {made.id}, {len(made)} experts; try: polyroute mote mask show {out}")
