"""RouterArena (arXiv 2510.00202): `cached_results/MODEL.jsonl`, a line for each query, with `evaluation_result.score`
and `.inference_cost` in USD."""

from __future__ import annotations

from pathlib import Path

from router_graph.errors import EvaluationError
from router_graph.evaluation.questions import rows_of
from router_graph.evaluation.readers.graded import Graded, graded


def read(folder: Path) -> Graded:
    """The files of a folder. Raises `EvaluationError`, with the line."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise EvaluationError(f"{folder} holds no MODEL.jsonl of RouterArena.")
    rows: dict[str, tuple[str, dict[str, tuple[float, float]]]] = {}
    for file in files:
        for number, row in rows_of(file):
            try:
                judged = row["evaluation_result"]
                index, question = str(row["global_index"]), str(row["question"])
                pair = None if judged is None else (float(judged["score"]), float(judged["inference_cost"]))
            except (KeyError, TypeError, ValueError) as error:
                raise EvaluationError(
                    f"{file}, line {number} is no judged reply ({type(error).__name__}: {error}); it has global_index, "
                    "question and evaluation_result with score and inference_cost."
                ) from None
            replies = rows.setdefault(index, (question, {}))[1]
            if pair is not None:
                replies[file.stem] = pair
    return graded(list(rows.values()), str(folder))
