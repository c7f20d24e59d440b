"""From runs to files: rows one by one, whole or not at all, and what could not be said is counted."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Literal, get_args

from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.shards import LogError

Form = Literal["trl", "verl", "atif", "csv"]
FORMS: tuple[Form, ...] = get_args(Form)

Writer = Callable[[Iterable[RunRecord], Path, "Counter[str]"], int]
"""Writes runs to a path, counts what it leaves out by the reason, and gives how many things it wrote."""

_HOMES: dict[Form, str] = {"trl": "trl", "verl": "verl", "atif": "atif", "csv": "csv_rows"}
_THINGS: dict[Form, str] = {"trl": "steps", "verl": "steps", "atif": "runs", "csv": "steps"}


@dataclass(slots=True)
class Exported:
    """What was written."""

    path: Path
    things: str
    """"steps" or "runs"."""
    count: int
    skipped: Counter[str] = field(default_factory=Counter)
    """How many were not, by the reason."""


def export(runs: Iterable[RunRecord], to: Form, path: str | Path, *, overwrite: bool = False) -> Exported:
    """Write runs for another tool; see the modules of this package for each form. `atif` makes a folder, others a file.

    Nothing stands at the path before all of it is written. Raises `LogError` where something is there already and may
    not be overwritten (a folder never is, but an export's), where it cannot be written, and where no run can be said
    in this form.
    """
    if to not in FORMS:
        raise LogError(f"Runs cannot be exported to {to!r}; there is {', '.join(FORMS)}.")
    goal, skipped = Path(path), Counter[str]()
    if goal.exists() and not overwrite:
        raise LogError(f"{goal} is there already; name another, or allow to overwrite it (--overwrite).")
    if goal.is_dir() and not (to == "atif" and _is_export(goal)):
        raise LogError(f"{goal} is a folder, and none that was exported, so that it is not overwritten; name another.")
    try:
        with _whole(goal) as new:
            count = _writer(to)(runs, new, skipped)
            if not count:
                why = skipped.most_common(1)[0][0] if skipped else "there are no steps in them"
                raise LogError(f"None of the {_THINGS[to]} can be exported to {to}: {why}.")
    except OSError as error:
        raise LogError(f"{goal} cannot be written ({error.strerror or error}).") from None
    return Exported(goal, _THINGS[to], count, skipped)


def _writer(to: Form) -> Writer:
    """Imported when it is wanted: that of TRL brings LangChain, that of verl pyarrow."""
    writer: Writer = getattr(import_module(f"router_graph.trajectories.export.{_HOMES[to]}"), f"write_{to}")
    return writer


@contextlib.contextmanager
def _whole(goal: Path) -> Iterator[Path]:
    """A path beside the goal, which takes its place when all is written."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    new = goal.with_name(f".{goal.name}.{os.getpid()}")
    try:
        yield new
        _remove(goal)
        new.replace(goal)
    finally:
        _remove(new)


def _is_export(folder: Path) -> bool:
    """It holds nothing but documents, as `atif` leaves them."""
    return all(one.suffix == ".json" and one.is_file() for one in folder.iterdir())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
