"""RouterBench (arXiv 2403.12031) as CSV: a row for each prompt; for each model a column of scores, called as it is, and
`MODEL|total_cost` in USD. The pickles that it is also published as are not read: they can run code."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from router_graph.errors import EvaluationError
from router_graph.evaluation.readers.graded import Graded, graded

_COST = "|total_cost"
_LONGEST = 10_000_000
"""Characters of a cell: prompts come with their examples."""


def read(path: Path) -> Graded:
    """A file, or all CSV files of a folder. Raises `EvaluationError`, with the line."""
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise EvaluationError(f"{path} holds no CSV file of RouterBench.")
    csv.field_size_limit(_LONGEST)
    rows = [row for file in files for row in _rows(file)]
    return graded(rows, str(path))


def _rows(file: Path) -> list[tuple[str, dict[str, tuple[float, float]]]]:
    if file.suffix != ".csv":
        raise EvaluationError(f"{file} is no CSV; pickles are not read, since they can run code.")
    found = []
    try:
        with file.open(encoding="utf-8", newline="") as text:
            reader = csv.DictReader(text)
            models = [name.removesuffix(_COST) for name in reader.fieldnames or () if name.endswith(_COST)]
            missing = [name for name in ("prompt", *models) if name not in (reader.fieldnames or ())]
            if missing or not models:
                raise EvaluationError(f"{file} has no column {(missing or ['MODEL|total_cost'])[0]!r}.")
            for row in reader:
                found.append((row["prompt"], _replies(row, models, f"{file}, line {reader.line_num}")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{file} cannot be read ({error}).") from None
    return found


def _replies(row: dict[str, str], models: list[str], where: str) -> dict[str, tuple[float, float]]:
    """What stands there of each model; empty cells and NaN are none."""
    replies = {}
    for model in models:
        try:
            pair = float(row[model] or "nan"), float(row[model + _COST] or "nan")
        except (TypeError, ValueError):
            raise EvaluationError(f"{where}: {model!r} has {row[model]!r:.20}, which is no score.") from None
        if not any(map(math.isnan, pair)):
            replies[model] = pair
    return replies
