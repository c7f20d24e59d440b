"""The log of runs: can it be written, and can what is in it be read?"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from router_graph.doctor.finding import Finding, ok, problem, warning

_SECONDS = 0.8
"""How long shards are read, the newest first."""


def log(folder: Path, *, wanted: bool, deep: bool) -> Iterator[Finding]:
    """A folder of runs; `wanted` where the settings say that runs are recorded there. `deep` reads all of it."""
    from router_graph.trajectories.shards import LogError, shards_in

    quoted = shlex.quote(str(folder))
    option = "" if str(folder) == "runs" else f" -r {quoted}"
    if folder.exists() and not folder.is_dir():
        yield problem(f"{folder} is no folder, and runs are recorded in one", f"ls -l {quoted}")
        return
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        if wanted or folder.exists():
            yield problem(f"Runs cannot be recorded in {folder}: {there} cannot be written", f"chmod u+rwx {there}")
        return
    if not folder.exists():
        yield ok(f"No runs were recorded{f'; they will be in {folder}' if wanted else ''}", _record(folder))
        return
    try:
        shards = shards_in(folder)
    except LogError:
        yield ok(f"{folder} holds no runs yet", _record(folder))
        return
    yield from _read(folder, shards, option, deep=deep)


def _read(folder: Path, shards: list[Path], option: str, *, deep: bool) -> Iterator[Finding]:
    from router_graph.trajectories.damage import LogReport
    from router_graph.trajectories.log_index import checked_lines
    from router_graph.trajectories.shards import LogError

    report, until, runs, read = LogReport(), time.monotonic() + _SECONDS, set[str](), 0
    try:
        for shard in sorted(shards, key=lambda one: one.stat().st_mtime, reverse=True):
            for _, run in checked_lines(shard, report):
                runs.add(run or "")
            read += 1
            if not deep and time.monotonic() > until:
                break
    except (LogError, OSError) as error:
        yield problem(str(error).rstrip("."), f"chmod -R u+rwX {shlex.quote(str(folder))}")
        return
    some = "" if read == len(shards) else f" in the newest {read} of {len(shards):,} files"
    if report.damaged:
        lines = f"{report.damaged:,} line{'' if report.damaged == 1 else 's'}"
        first = f"; the first is {report.damages[0]}" if report.damages else ""
        yield warning(f"{folder}: {lines}{some} cannot be read{first}", f"polyroute runs check{option}")
        return
    count = len(runs - {""})
    yield ok(
        f"{folder}: {count:,} run{'' if count == 1 else 's'}{some}, all lines whole", f"polyroute runs list{option}"
    )


def _record(folder: Path) -> str:
    return f'polyroute ask "…" --record {shlex.quote(str(folder))}'
