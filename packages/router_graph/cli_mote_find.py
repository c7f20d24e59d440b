"""`polyroute mote profile` and `select`: find the experts behind a behaviour, and those of them that cause it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kb_tools.cli_command import PlainCommand
from router_graph.cli_mote_model import Device, Dtype, Model, Trust, loaded

if TYPE_CHECKING:
    from mote_backend.ftri.prompts import PromptSet

_PROMPTS = "A .txt file (a prompt a line), a .jsonl file, or a grid such as 'What happened {time} in {place}?'."

Target = Annotated[str, typer.Argument(metavar="TARGET", help=f"Prompts that show it. {_PROMPTS}", show_default=False)]
Other = Annotated[
    str, typer.Argument(metavar="OTHER", help="Prompts that don't, in the same forms.", show_default=False)
]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--values", metavar="NAME=A,B", help="Values of a grid's placeholder; may be repeated.", show_default=False
    ),
]
System = Annotated[str | None, typer.Option(help="A system message before each prompt.", show_default=False)]
Raw = Annotated[bool, typer.Option("--raw", help="Give the prompts as they are, without the chat template.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Prompts in a forward pass.")]


def in_a_folder(path: Path | None) -> Path | None:
    """Where a result goes, checked before the work that it is the result of."""
    if path is not None and path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; name a file in it.")
    if path is not None and not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}; make it first.")
    return path


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
    seed: Annotated[int, typer.Option(help="Of the half-samples.")] = 0,
    dtype: Dtype = "auto",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Rank the experts by how much more the target's prompts use them (fTRI).

    polyroute mote profile planted sensitive.txt harmless.txt --out table.json
    """
    from kb_tools import terminal
    from mote_backend.ftri.contrast import contrast

    sets = list(prompt_sets({"target": target, "other": other}, values).values())
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
    seed: Annotated[int, typer.Option(help="Of the choice of prompts.")] = 0,
    dtype: Dtype = "auto",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Try the experts of a profile by switching them, and keep the few that act and leave other prompts alone.

    polyroute mote select planted sensitive.txt harmless.txt --begins sorry --begins "i am" --out refusal.json
    """
    from kb_tools import terminal
    from mote_backend.ftri import selection
    from mote_backend.ftri.behaviour import first_token
    from mote_backend.ftri.contrast import contrast
    from mote_backend.ftri.greedy import Search

    sets = list(prompt_sets({"target": target, "other": other}, values).values())
    network, tokenizer = loaded(model, dtype, device, trust)
    behaviour = first_token(tokenizer, begins)
    with progress_bar("Recording") as progress:
        table = contrast(network, tokenizer, *sets, system=system, raw=raw, progress=progress).table
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
            system=system,
            raw=raw,
            name=out.stem,
            progress=progress,
        )
    if not found.mask:
        terminal.note(f"No expert was found: {found.stop}.")
        raise typer.Exit(1)
    found.mask.save(out)
    rows = [("", "", f"{found.start.behaviour:.3f}", "0")]
    for step in found.steps:
        if step.kept:
            layer, expert = step.expert
            measured = step.measured
            rows.append((str(layer), str(expert), f"{measured.behaviour:.3f}", f"{measured.drift:.4f}"))
    terminal.print_rows(["layer", "expert", "behaviour", "drift (nats)"], rows, most=len(rows))
    terminal.note(
        f"{out}: {found.mask.id}, {len(found.mask)} expert{'s' if len(found.mask) > 1 else ''}, "
        f"in {found.seconds:.1f} s; {found.stop}. "
        "These prompts chose it; a verdict needs others: polyroute mote report"
    )


def prompt_sets(given: Mapping[str, str], values: Sequence[str] | None) -> dict[str, PromptSet]:
    """The sets by name, each from its file or its grid."""
    known = dict(_value(one) for one in values or [])
    for name in known:
        if not any(f"{{{name}}}" in one for one in given.values()):
            raise typer.BadParameter(f"no grid has the placeholder {{{name}}}.", param_hint="--values")
    return {name: _prompt_set(one, name, known) for name, one in given.items()}


def _value(given: str) -> tuple[str, list[str]]:
    name, equals, texts = given.partition("=")
    if not (name and equals and texts):
        raise typer.BadParameter(f"it is {given!r}, and looks like place=Rome,Oslo.", param_hint="--values")
    return name, texts.split(",")


def _prompt_set(given: str, name: str, values: Mapping[str, list[str]]) -> PromptSet:
    from mote_backend.ftri.prompts import PromptSet

    if "{" not in given:
        return PromptSet.load(given, name)
    used = {key: texts for key, texts in values.items() if f"{{{key}}}" in given}
    if not values:
        raise typer.BadParameter(
            f"the grid {given!r} has no values; give them as place=Rome,Oslo.", param_hint="--values"
        )
    return PromptSet.grid(given, name=name, **used)


def _some(prompts: PromptSet, count: int, seed: int) -> PromptSet:
    import random

    from mote_backend.ftri.prompts import PromptSet

    if len(prompts) <= count:
        return prompts
    return PromptSet(prompts.name, tuple(random.Random(seed).sample(prompts.prompts, count)))


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], object]]:
    """A bar on stderr with the time left; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
