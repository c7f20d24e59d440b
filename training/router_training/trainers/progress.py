"""How far training is, and how long it will still take."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback


class TimeLeft(TrainerCallback):
    """A bar with the time left where people look on; where they don't, a line for each tenth."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._loss = ""
        self._told = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the bar."""
        if state.is_world_process_zero:
            self._bar.start()
            self._task = self._bar.add_task("training", total=state.max_steps, completed=state.global_step, loss="")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Keep the loss."""
        if logs and "loss" in logs:
            self._loss = f"loss {float(logs['loss']):.4g}"

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An update was made."""
        if self._task is None:
            return
        self._bar.update(self._task, completed=state.global_step, loss=self._loss)
        tenth = 10 * state.global_step // max(state.max_steps, 1)
        if not self._console.is_terminal and tenth > self._told:
            self._told = tenth
            left = self._bar.tasks[0].time_remaining
            told = "" if left is None else f", {left:.0f} s left"
            self._console.print(
                f"{state.global_step}/{state.max_steps} updates{told} {self._loss}".rstrip(), highlight=False
            )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the bar away."""
        self._bar.stop()
