"""What people say of recorded steps: good, bad, or what would have been better. Kept beside the log, never in it.

`LOG/labels/<host>-<pid>-<random>.jsonl`, one file for each process that writes; a line for each label, appended as it
is given. The last word of a person on a step counts. Taking a label back is a line too, whose verdict is null.
"""

from __future__ import annotations

import getpass
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import orjson
from typing_extensions import TypedDict

from router_graph.trajectories.cut import each_text
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.redact import Secrets
from router_graph.trajectories.shards import LogError, new_shard_path

FOLDER = "labels"
VERSION = 1
Verdict = Literal["good", "bad", "better"]
"""What was done was right; it was wrong; it was wrong, and this would have been right."""
VERDICTS: tuple[Verdict, ...] = ("good", "bad", "better")
MOST_NOTE = 4_000
"""Characters of a note."""

_SECRETS = Secrets()


class Label(TypedDict):
    """What one person says of one step."""

    run: str
    step: int
    """Its number, from 1."""
    verdict: Verdict
    better: dict[str, Any] | None
    """The better action, as `router_graph.actions.action_as_dict` has it; None where the verdict is another."""
    note: str
    by: str
    at: float
    """Seconds since 1970."""


def read_labels(log: str | Path, *, report: LogReport | None = None) -> list[Label]:
    """What people say of the steps of a log now, by run, step and time. `log` is the folder of runs, or of its labels.

    Lines that are no label, or torn, are counted in `report`.
    """
    told, path = report or LogReport(), Path(log)
    last: dict[tuple[str, int, str], dict[str, Any]] = {}
    for file in label_files(path.parent if path.name == FOLDER else path):
        for number, raw in enumerate(file.read_bytes().splitlines(), start=1):
            if (line := _checked(raw)) is None:
                told.add(file, number, "it is no label")
                continue
            told.lines += 1
            key = line["run"], line["step"], line["by"]
            if key not in last or last[key]["at"] <= line["at"]:
                last[key] = line
    kept = [_label(line) for line in last.values() if line["verdict"] is not None]
    return sorted(kept, key=lambda one: (one["run"], one["step"], one["at"]))


def label_files(log: Path) -> list[Path]:
    """The files of a log's labels."""
    return sorted((log / FOLDER).glob("*.jsonl"))


class LabelWriter:
    """Appends labels to a file that this process has alone. Safe to use from many threads."""

    def __init__(self, log: str | Path) -> None:
        self.folder = Path(log) / FOLDER
        self._path: Path | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def give(
        self,
        run: str,
        step: int,
        verdict: Verdict | None,
        *,
        better: Mapping[str, Any] | None = None,
        note: str = "",
        by: str | None = None,
    ) -> Label:
        """Write a label down, secrets taken out; with None, this person's label of the step is taken back.

        Raises `LogError` where it cannot be written.
        """
        line = {"v": VERSION, "run": run, "step": step, "verdict": verdict}
        told = {"better": None if better is None else dict(better), "note": note[:MOST_NOTE]}
        line |= {**each_text(told, _SECRETS, _SECRETS.hides), "by": who() if by is None else by, "at": time.time()}
        try:
            with self._lock:
                self._append(orjson.dumps(line) + b"\n")
        except OSError as error:
            raise LogError(f"The label cannot be written to {self.folder} ({error.strerror or error}).") from None
        return _label(line)

    def _append(self, data: bytes) -> None:
        if self._path is None or self._pid != os.getpid():
            self._pid, self._path = os.getpid(), self.folder / new_shard_path(self.folder).name
            self.folder.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            if os.write(file, data) < len(data):
                os.write(file, b"\n")  # what was torn ends here, and is skipped by readers
                raise OSError("the disk is full")
        finally:
            os.close(file)


def who() -> str:
    """The name of whoever runs this process; empty where nobody knows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _label(line: Mapping[str, Any]) -> Label:
    return cast(Label, {name: line[name] for name in Label.__annotations__})


def _checked(raw: bytes) -> dict[str, Any] | None:
    """The line, if it is one of ours."""
    try:
        line = orjson.loads(raw)
        whole = (
            line["v"] <= VERSION
            and isinstance(line["run"], str)
            and isinstance(line["step"], int)
            and line["verdict"] in (*VERDICTS, None)
            and isinstance(line["better"], dict) == (line["verdict"] == "better")
            and isinstance(line["note"], str)
            and isinstance(line["by"], str)
            and isinstance(line["at"], float | int)
        )
    except (ValueError, KeyError, TypeError):
        return None
    return line if whole else None
