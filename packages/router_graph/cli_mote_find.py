"""`polyroute mote profile` and `select`: find the experts behind a behaviour, and those of them that cause it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kb_tools.cli_command import PlainCommand
from router_graph.cli_mote_model import loaded
from router_graph.cli_mote_options import (
    KEPT,
    BatchSize,
    Device,
    Dtype,
    Model,
    Other,
    Raw,
    Seed,
    System,
    Target,
    Trust,
    Values,
    in_a_folder,
)
from router_graph.cli_mote_prompts import progress_bar, prompt_sets

if TYPE_CHECKING:
    from mote_backend.ftri.prompts import PromptSet


def register(app: typer.Typer) -> None:
    """Put the commands into the app."""
    app.command(cls=PlainCommand)(profile)
    app.command(cls=PlainCommand)(select)


def profile(
    model: Model,
    target: Target,
    other: Other,
    values: Values = None,
    at: Annotated[
        Literal["last", "prompt", "sum", "response"],
        typer.Option(help="Tokens to look at: last (decides most), prompt, sum (the paper's), or response."),
    ] = "last",
    top: Annotated[int, typer.Option(min=1, help="Experts to show.")] = 10,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Keep the whole table as JSON.",
            show_default=False,
            callback=in_a_folder,
        ),
    ] = None,
    system: System = None,
    raw: Raw = False,
    batch_size: BatchSize = 16,
    seed: Seed = 0,
    dtype: Dtype = "auto",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Rank the experts by how much more the target's prompts use them (fTRI).

    polyroute mote profile planted examples/mote/sensitive.txt examples/mote/harmless.txt --out table.json
    """
    from kb_tools import terminal
    from mote_backend.ftri.contrast import contrast

    sets = tuple(prompt_sets({"target": target, "other": other}, values).values())
    network, tokenizer = loaded(model, dtype, device, trust)
    with progress_bar("Recording") as progress:
        found = contrast(
            network,
            tokenizer,
            *sets,
            at=at,
            system=system,
            raw=raw,
            batch_size=batch_size,
            seed=seed,
            progress=progress,
        ).table
    terminal.console().print(terminal.plain(found.to_markdown(top)), soft_wrap=True)
    terminal.console().print(terminal.plain(found.to_heat_map()), soft_wrap=True)
    if out:
        found.save(out)
        terminal.note(f"{out} holds all {len(found)} experts.")
    terminal.note("A difference proves no effect; next: polyroute mote select")


def select(
    model: Model,
    target: Target,
    other: Other,
    begins: Annotated[
        list[str],
        typer.Option("--begins", metavar="TEXT", help="How a reply that shows it begins.", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Where the mask goes.", show_default=False, callback=in_a_folder
        ),
    ],
    values: Values = None,
    on: Annotated[bool, typer.Option("--on", help="Force experts on, to get more of it.")] = False,
    budget: Annotated[int, typer.Option(min=1, help="Most experts to switch.")] = 8,
    prompts: Annotated[int, typer.Option(min=1, help="Prompts of each set to try the candidates on.")] = 16,
    system: System = None,
    raw: Raw = False,
    seed: Seed = 0,
    dtype: Dtype = "auto",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Try the experts of a profile by switching them, and keep the few that act and leave other prompts alone.

    polyroute mote select planted examples/mote/sensitive.txt examples/mote/harmless.txt \\
      --begins sorry --begins "i am" --out refusal.json
    """
    from kb_tools import terminal
    from mote_backend.ftri import selection
    from mote_backend.ftri.behaviour import first_token
    from mote_backend.ftri.contrast import contrast
    from mote_backend.ftri.greedy import Search

    sets = tuple(prompt_sets({"target": target, "other": other}, values).values())
    network, tokenizer = loaded(model, dtype, device, trust)
    behaviour = first_token(tokenizer, begins)
    with progress_bar("Recording") as progress:
        table = contrast(network, tokenizer, *sets, system=system, raw=raw, seed=seed, progress=progress).table
    for said in table.notes:
        terminal.note(said)
    with progress_bar("Switching") as progress:
        found = selection.select(
            network,
            tokenizer,
            _some(sets[0], prompts, seed),
            _some(sets[1], prompts, seed),
            behaviour,
            table,
            switch="on" if on else "off",
            options=Search(less=not on, budget=budget),
            profiled=sets,
            system=system,
            raw=raw,
            name=out.stem,
            progress=progress,
        )
    if not found.mask:
        terminal.note(f"No expert was found: {found.stop}.")
        raise typer.Exit(1)
    found.mask.save(out)
    found.save(out.with_suffix(KEPT))
    rows = [("", "", f"{found.start.behaviour:.3f}", "0")]
    for step in found.steps:
        if step.kept:
            layer, expert = step.expert
            measured = step.measured
            rows.append((str(layer), str(expert), f"{measured.behaviour:.3f}", f"{measured.drift:.4f}"))
    if not all(step.kept for step in found.steps):  # those that were dropped had a part in the figures above
        rows.append(("", "all of these", f"{found.end.behaviour:.3f}", f"{found.end.drift:.4f}"))
    terminal.print_rows(["layer", "expert", "behaviour", "drift (nats)"], rows, most=len(rows))
    terminal.note(
        f"{out}: {found.mask.id}, {len(found.mask)} expert{'s' if len(found.mask) > 1 else ''}, "
        f"in {found.seconds:.1f} s; {found.stop}. "
        f"{out.with_suffix(KEPT)} keeps how; a verdict needs other prompts: polyroute mote report"
    )


def _some(prompts: PromptSet, count: int, seed: int) -> PromptSet:
    import random

    from mote_backend.ftri.prompts import PromptSet

    if len(prompts) <= count:
        return prompts
    return PromptSet(prompts.name, tuple(random.Random(seed).sample(prompts.prompts, count)))
