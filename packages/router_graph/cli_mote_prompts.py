"""Prompts of a `polyroute mote` command, from files and grids, and the bar that shows how far it is with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mote_backend.ftri.prompts import PromptSet


def prompt_sets(given: Mapping[str, str], values: Sequence[str] | None) -> dict[str, PromptSet]:
    """The sets by name, "target" and "other" among them, each from its file or its grid; what is wrong with them is
    said before a model is loaded."""
    from mote_backend.ftri.prompts import check_contrast

    known = dict(_value(one) for one in values or [])
    for name in known:
        if not any(f"{{{name}}}" in one for one in given.values()):
            raise typer.BadParameter(f"no grid has the placeholder {{{name}}}.", param_hint="--values")
    sets = {name: _prompt_set(one, name, known) for name, one in given.items()}
    check_contrast((sets["target"], sets["other"]))
    return sets


def _prompt_set(given: str, name: str, values: Mapping[str, list[str]]) -> PromptSet:
    """A set from a file, or from a grid with those of the values that it names."""
    from mote_backend.ftri.prompts import PromptSet

    if "{" not in given:
        return PromptSet.load(given, name)
    if not values:
        raise typer.BadParameter(
            f"the grid {given!r} has no values; give them as place=Rome,Oslo.", param_hint="--values"
        )
    return PromptSet.grid(given, name=name, **{key: texts for key, texts in values.items() if f"{{{key}}}" in given})


def _value(given: str) -> tuple[str, list[str]]:
    name, equals, texts = given.partition("=")
    if not (name and equals and texts):
        raise typer.BadParameter(f"it is {given!r}, and looks like place=Rome,Oslo.", param_hint="--values")
    return name, texts.split(",")


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
