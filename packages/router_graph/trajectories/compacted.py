"""Reads runs back from the parquet files that `compact` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from router_graph.trajectories.columns import run_of, step_of
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.manifest import NAME, Manifest, Part, read_manifest
from router_graph.trajectories.parquet import pyarrow
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.shards import LogError

_ROWS = 1_000


def is_compacted(folder: Path) -> bool:
    """Whether it holds parquet files of runs. Raises `LogError` where they are not complete."""
    if (folder / NAME).is_file():
        return read_manifest(folder) is not None
    if folder.is_dir() and any(folder.glob("steps-*.parquet")) and not any(folder.rglob("*.jsonl")):
        raise LogError(f"The runs in {folder} were not compacted to their end; run `polyroute runs compact` again.")
    return False


def manifest_of(folder: Path) -> Manifest:
    """Its manifest. Raises `LogError` where it has none."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise LogError(f"There are no compacted runs in {folder}; make them with `polyroute runs compact`.")
    return manifest


def read_compacted(folder: Path, *, report: LogReport) -> Iterator[RunRecord]:
    """Each run, with its steps. A thousand rows at a time are in memory."""
    manifest = manifest_of(folder)
    report.shards, report.bytes, report.lines = manifest["shards"], manifest["bytes"], manifest["lines"]
    report.damaged, report.replaced, report.lost = manifest["damaged"], manifest["replaced"], manifest["lost"]
    pyarrow()
    return _runs(folder, manifest, report)


def read_part(folder: Path, part: Part) -> Iterator[RunRecord]:
    """The runs of two files of a compacted log, in order."""
    steps = _rows(folder / part["steps_file"])
    for row in _rows(folder / part["runs_file"]):
        yield run_of(row, tuple(step_of(one) for one in islice(steps, row["steps"])))


def read_one(folder: Path, part: Part, run_id: str) -> RunRecord | None:
    """One run of two files, without making records of the others; None where it is not there."""
    rows = _rows_of(folder / part["runs_file"], run_id)
    if not rows:
        return None
    steps = _rows_of(folder / part["steps_file"], run_id)
    return run_of(rows[0], tuple(step_of(one) for one in sorted(steps, key=lambda one: int(one["number"]))))


def _runs(folder: Path, manifest: Manifest, report: LogReport) -> Iterator[RunRecord]:
    for part in manifest["parts"]:
        for run in read_part(folder, part):
            report.runs += 1
            yield run


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    pa, pq = pyarrow()
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _rows_of(path: Path, run_id: str) -> list[dict[str, Any]]:
    pa, pq = pyarrow()
    try:
        rows: list[dict[str, Any]] = pq.read_table(path, filters=[("run_id", "==", run_id)]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None
    return rows


def _unreadable(path: Path, error: Exception) -> LogError:
    return LogError(f"{path} cannot be read ({str(error).splitlines()[0]}); compact the runs again.")
