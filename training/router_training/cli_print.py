"""What the commands of `polyroute train` show. Logged text is data: nothing in it can steer the terminal."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from kb_tools import terminal

T = TypeVar("T")


@contextlib.contextmanager
def progress(things: str) -> Iterator[Callable[[], None]]:
    """A count on stderr; nothing where that is no terminal."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} {task.description}", markup=False), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(things, total=None)
        yield lambda: bar.advance(task)


class ticking(Iterable[T]):  # reads as a verb where it is used
    """The same things; each that is taken is told."""

    def __init__(self, things: Iterable[T], tick: Callable[[], None]) -> None:
        self._things, self._tick = things, tick

    def __iter__(self) -> Iterator[T]:
        for one in self._things:
            self._tick()
            yield one


def print_scores(told: Mapping[str, Any]) -> None:
    """What a pass of a reward came to."""
    fields = {
        "file": told["file"],
        "version": told["version"],
        "scores": f"{told['scores']:,}, of {told['runs']:,} runs",
        "mean": None if told["mean"] is None else f"{told['mean']:.4g}, standard deviation {told['std']:.4g}",
        "parts": ", ".join(f"{name} {value:.4g}" for name, value in told["parts"].items()) or None,
    }
    terminal.print_fields(fields)
    for why, count in told["skipped"].items():
        terminal.note(f"{count:,} runs have no score: {_WHY.get(why, why)}.")


_WHY = {
    "open": "they have not ended",
    "failed": "they broke off",
    "foreign": "they are of another make of graph",
    "unknown": "nobody knows what is right for their questions",
}


def print_policy(folder: Path, runs: Path, *, as_json: bool) -> None:
    """A policy that was trained: how it went, and what to do with it."""
    from router_graph.policies.local import PolicyCard
    from router_training.trainers.curves import in_terminal
    from router_training.trainers.saving import HISTORY

    learned = PolicyCard.read(folder).learned
    if as_json:
        terminal.print_json({"folder": str(folder), **learned})
        return
    history = json.loads((folder / HISTORY).read_text(encoding="utf-8"))
    if text := in_terminal(history):
        terminal.console().print(text, soft_wrap=True)
    figures = learned["figures"]
    terminal.print_fields(
        {
            "policy": str(folder),
            "method": learned["method"],
            "samples": learned["samples"],
            "left out": learned["left_out"],
            "updates": f"{figures['updates']:,.0f} in {figures['seconds']:.1f} s",
            "stopped": learned["stopped"],
        }
    )
    if learned_nothing(history):
        terminal.note(
            "Nothing was learned: in every group all rewards were alike, so that there was nothing to compare. A "
            "policy that cannot write an action yet begins with rft; else try larger groups, or more updates."
        )
    terminal.note(f"Is it better? polyroute train report {folder} {runs}")
    terminal.note(f'Try it: polyroute ask "…" --policy local:{folder}')


def learned_nothing(history: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an online trainer never had a group whose rewards differ; False where the history does not say."""
    names = ("groups_without_spread", "episode/groups_without_spread")
    shares = [entry[name] for entry in history for name in names if name in entry]
    return bool(shares) and min(shares) == 1.0
