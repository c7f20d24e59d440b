"""Shards to parquet: the same runs, typed and compressed, for statistics and training. The shards stay as they are."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from router_graph.trajectories.columns import RUN_COLUMNS, STEP_COLUMNS, run_row, step_row
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.log_index import LogIndex
from router_graph.trajectories.manifest import (
    FORMAT,
    NAME,
    Manifest,
    Part,
    new_manifest,
    read_manifest,
    write_manifest,
)
from router_graph.trajectories.parquet import pyarrow, schema_of
from router_graph.trajectories.reader import Source, indexed, runs_of
from router_graph.trajectories.records import SCHEMA, RunRecord
from router_graph.trajectories.shards import LogError

RUNS_A_PART = 5_000
_COUNTS = ("damaged", "replaced", "lost")
"""Of a report: what is only known when runs are put together. A part remembers its own."""
_ROWS = 1_000
"""Of steps that are held before they are written."""


def compact(
    source: Source,
    into: str | Path,
    *,
    report: LogReport | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    runs_a_part: int = RUNS_A_PART,
) -> Manifest:
    """Write the runs of a log into a folder: `runs-*.parquet`, `steps-*.parquet` and, last, `manifest.json`.

    The same log gives the same files. Where they are there already, nothing is done; where a compaction broke off, its
    whole parts are kept; where the log has grown, readers of the folder see the old runs until the new are complete.
    `on_progress` is told how many runs of how many are done. Raises `LogError` for a log that cannot be read and a
    folder that cannot be written, `MissingExtraError` without pyarrow.
    """
    pyarrow()
    folder, told = Path(into), report or LogReport()
    if isinstance(source, str | Path) and folder.resolve() == Path(source).resolve():
        raise LogError(f"The runs in {folder} are compacted into another folder; name one.")
    index = indexed(source, told)
    if report is None:
        told.warn()
    try:
        fingerprint = _fingerprint(index, source, runs_a_part)
        known = _known(folder)
        if known is not None and known["fingerprint"] == fingerprint:
            told.runs, told.damaged = known["runs"], known["damaged"]
            told.replaced, told.lost = known["replaced"], known["lost"]
            return known
        folder.mkdir(parents=True, exist_ok=True)
        runs = index.runs
        parts: list[Part] = []
        for start in range(0, len(runs), runs_a_part):
            name = f"{fingerprint[:12]}-{len(parts):05d}.parquet"
            parts.append(_part(folder, name, index, runs[start : start + runs_a_part], told))
            on_progress(min(start + runs_a_part, len(runs)), len(runs))
        manifest = new_manifest(
            {
                "schema": SCHEMA,
                "fingerprint": fingerprint,
                "shards": told.shards,
                "bytes": told.bytes,
                "lines": told.lines,
                "damaged": told.damaged,
                "replaced": told.replaced,
                "lost": told.lost,
                "runs": sum(part["runs"] for part in parts),
                "steps": sum(part["steps"] for part in parts),
                "parts": parts,
            }
        )
        write_manifest(folder, manifest)
        _remove_old(folder, manifest)
        return manifest
    except OSError as error:
        raise LogError(f"The runs cannot be written to {folder} ({error.strerror or error}).") from None
    finally:
        index.close()


def fingerprint_of(source: Source) -> str:
    """The SHA-256 that stands for a log: of the manifest where it is compacted, else of its shards."""
    if isinstance(source, str | Path) and (known := read_manifest(Path(source))) is not None:
        return known["fingerprint"]
    return _fingerprint(indexed(source, LogReport()), source, RUNS_A_PART)


def _fingerprint(index: LogIndex, source: Source, runs_a_part: int) -> str:
    root = Path(source) if isinstance(source, str | Path) and Path(source).is_dir() else None
    names = [(one.relative_to(root) if root else Path(one.name)).as_posix() for one in index.shards]
    made_of = [SCHEMA, FORMAT, runs_a_part, list(zip(names, index.checksums, strict=True))]
    return hashlib.sha256(orjson.dumps(made_of)).hexdigest()


def _known(folder: Path) -> Manifest | None:
    """The manifest, if it is of use."""
    try:
        return read_manifest(folder)
    except LogError:
        if (folder / NAME).exists() and not any(folder.glob("steps-*.parquet")):
            raise  # a folder of somebody else's
        return None


def _part(folder: Path, name: str, index: LogIndex, runs: Sequence[str], told: LogReport) -> Part:
    """Write the two files of some runs, or find that they are there; the one of the runs is written last."""
    pa, pq = pyarrow()
    runs_file, steps_file = folder / f"runs-{name}", folder / f"steps-{name}"
    if not (runs_file.exists() and steps_file.exists()):
        counts = LogReport()
        with (
            _whole(runs_file) as runs_new,
            _whole(steps_file) as steps_new,
            _writer(runs_new, RUN_COLUMNS) as of_runs,
            _writer(steps_new, STEP_COLUMNS) as of_steps,
        ):
            for batch in _batches(runs_of(index, runs, counts)):
                try:
                    steps = _table([step_row(run, one) for run in batch for one in run.steps], STEP_COLUMNS)
                except (pa.ArrowException, OverflowError) as error:
                    between = f"{batch[0].run_id} to {batch[-1].run_id}"
                    raise LogError(f"A step of the runs {between} does not fit its columns ({error}).") from None
                of_steps.write_table(steps)
                of_runs.write_table(_table([run_row(run) for run in batch], RUN_COLUMNS))
            of_runs.add_key_value_metadata({name: str(getattr(counts, name)) for name in _COUNTS})
    about = pq.read_metadata(runs_file)
    told.runs += about.num_rows
    for name in _COUNTS:
        setattr(told, name, getattr(told, name) + int(about.metadata[name.encode()]))
    steps = pq.read_metadata(steps_file).num_rows
    return Part(runs_file=runs_file.name, steps_file=steps_file.name, runs=about.num_rows, steps=steps)


def _batches(runs: Iterator[RunRecord]) -> Iterator[list[RunRecord]]:
    batch: list[RunRecord] = []
    rows = 0
    for run in runs:
        batch.append(run)
        rows += len(run.steps) + 1
        if rows >= _ROWS:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _table(rows: list[dict[str, Any]], columns: dict[str, str]) -> Any:
    pa, _ = pyarrow()
    schema = schema_of(columns)
    arrays = [pa.array([row[name] for row in rows], type=schema.field(name).type) for name in columns]
    return pa.Table.from_arrays(arrays, schema=schema)


def _writer(path: Path, columns: dict[str, str]) -> Any:
    _, pq = pyarrow()
    return pq.ParquetWriter(path, schema_of(columns), compression="zstd")


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes the real one when all of it is written."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _remove_old(folder: Path, manifest: Manifest) -> None:
    """Parts of what the folder held before."""
    listed = {name for part in manifest["parts"] for name in (part["runs_file"], part["steps_file"])}
    for pattern in ("runs-*-[0-9]*.parquet", "steps-*-[0-9]*.parquet"):
        for path in folder.glob(pattern):
            if path.name not in listed:
                path.unlink(missing_ok=True)
