"""Columns of steps from a compacted log, without making records of them: for training and statistics on millions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from router_graph.trajectories.columns import STEP_COLUMNS
from router_graph.trajectories.compacted import manifest_of
from router_graph.trajectories.parquet import pyarrow
from router_graph.trajectories.shards import LogError


def read_step_batches(folder: str | Path, columns: Sequence[str] | None = None, *, rows: int = 8_192) -> Iterator[Any]:
    """Batches (`pyarrow.RecordBatch`) of steps, in the order of the runs; all of `STEP_COLUMNS` if none are named.

    Raises `LogError` where the folder has no compacted runs, and for a column that there is not.
    """
    unknown = [name for name in columns or () if name not in STEP_COLUMNS]
    if unknown:
        raise LogError(f"A step has no column {unknown[0]!r}; it has {', '.join(STEP_COLUMNS)}.")
    return _batches(Path(folder), manifest_of(Path(folder))["parts"], columns, rows)


def _batches(folder: Path, parts: Sequence[Any], columns: Sequence[str] | None, rows: int) -> Iterator[Any]:
    pa, pq = pyarrow()
    for part in parts:
        path = folder / part["steps_file"]
        try:
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(rows, columns=None if columns is None else list(columns))
        except (OSError, pa.ArrowException) as error:
            raise LogError(f"{path} cannot be read ({str(error).splitlines()[0]}); compact the runs again.") from None
