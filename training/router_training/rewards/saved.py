"""Scores on disk: beside a log, never in it, one file for each version of a reward."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from router_training.errors import DataError
from router_training.rewards.reward import Reward
from router_training.rewards.scoring import RewardRecord

FOLDER = "rewards"
_ROWS = 50_000


def path_beside(log: str | Path, reward: Reward, *, suffix: str = ".jsonl") -> Path:
    """Where the scores of a log belong: `LOG/rewards/VERSION.jsonl`."""
    log = Path(log)
    return (log if log.is_dir() else log.parent) / FOLDER / f"{reward.version}{suffix}"


def save(records: Iterable[RewardRecord], path: str | Path, *, about: Mapping[str, Any] | None = None) -> int:
    """Write the scores as JSONL, or as parquet where the name ends so; returns how many.

    `about` (the reward's name and parameters, say) goes in with them. The file is there when it is whole, or not at
    all. Raises `DataError` for a score that is no number.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        write = _write_parquet if path.suffix == ".parquet" else _write_jsonl
        count = write(records, part, dict(about or {}))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count


def load(path: str | Path) -> Iterator[RewardRecord]:
    """Read the scores back. Raises `DataError` where a line or a row is none, with its number."""
    path = Path(path)
    return _read_parquet(path) if path.suffix == ".parquet" else _read_jsonl(path)


def _write_jsonl(records: Iterable[RewardRecord], path: Path, about: Mapping[str, Any]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"about": about}, sort_keys=True) + "\n")
        for record in records:
            try:
                file.write(json.dumps(_row(record), allow_nan=False) + "\n")
            except ValueError as error:
                raise _no_number(record) from error
            count += 1
    return count


def _read_jsonl(path: Path) -> Iterator[RewardRecord]:
    with path.open("rb") as file:  # a line that is no UTF-8 is a line that is no score
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                if number == 1 and "about" in row:
                    continue
                yield _record(row)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(f"Line {number} of {path} is no score ({error}); score the log again.") from error


def _write_parquet(records: Iterable[RewardRecord], path: Path, about: Mapping[str, Any]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields: list[tuple[str, Any]] = [
        ("run_id", pa.string()),
        ("number", pa.int32()),
        ("total", pa.float64()),
        ("parts", pa.map_(pa.string(), pa.float64())),
        ("version", pa.string()),
    ]
    schema = pa.schema(fields, metadata={"about": json.dumps(about, sort_keys=True)})
    count, rows = 0, list[dict[str, Any]]()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for record in records:
            if not all(map(_is_number, (record.total, *record.parts.values()))):
                raise _no_number(record)
            rows.append({**_row(record), "parts": list(record.parts.items())})
            count += 1
            if len(rows) == _ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, schema))
    return count


def _read_parquet(path: Path) -> Iterator[RewardRecord]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield _record({**row, "parts": dict(row["parts"])})
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        place = f"Row {number} of {path} is no score" if number else f"{path} holds no scores"
        raise DataError(f"{place} ({error}); score the log again.") from error


def _record(row: Mapping[str, Any]) -> RewardRecord:
    """Raises `KeyError`, `TypeError` or `ValueError` where it is none."""
    if not all(map(_is_number, (row["number"], row["total"], *row["parts"].values()))):
        raise ValueError("a number is missing")
    return RewardRecord(row["run_id"], row["number"], row["total"], row["parts"], row["version"])


def _row(record: RewardRecord) -> dict[str, Any]:
    return {**asdict(record), "parts": dict(record.parts)}


def _is_number(value: float) -> bool:
    return value - value == 0


def _no_number(record: RewardRecord) -> DataError:
    return DataError(f"The score of step {record.number} of run {record.run_id!r} is no number: {record.total!r}.")
