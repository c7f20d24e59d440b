"""Questions to learn from, and others to be judged on: never one question on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from router_graph.evaluation.questions import fingerprint as fingerprint_of
from router_graph.trajectories.records import RunRecord
from router_training.errors import DataError


def split(
    runs: Iterable[RunRecord], *, held_out: float = 0.2, seed: int = 0
) -> tuple[list[RunRecord], list[RunRecord]]:
    """The runs to train on and those held out, by question: all runs of a question are on one side.

    A question's side depends on its text and the seed alone, so that a log which grows keeps its sides. Raises
    `DataError` where a side is empty.
    """
    if not 0 <= held_out < 1:
        raise DataError(f"held_out is {held_out:g}; it is a share from 0 up to, and not including, 1.")
    train: list[RunRecord] = []
    held: list[RunRecord] = []
    for run in runs:
        drawn = hashlib.sha256(f"{seed}:{_asked(run)}".encode()).digest()[:8]
        (held if int.from_bytes(drawn) / 2**64 < held_out else train).append(run)
    if not train or (held_out and not held):
        raise DataError(
            f"Of {len(train) + len(held):,} runs, {len(train):,} are to train on and {len(held):,} held out; record "
            "more questions, or change held_out."
        )
    return train, held


def check_apart(train: Sequence[RunRecord], held: Sequence[RunRecord]) -> None:
    """Raise `DataError` where a question is on both sides, with the first: by its text, or by the id that the caller
    gave it."""
    seen = {_asked(run) for run in train}
    both = [run.question for run in held if _asked(run) in seen]
    if both:
        raise DataError(
            f"{len(both):,} held-out runs ask what a run to train on asks, such as {both[0][:80]!r}; split by question."
        )
    known = {run.question_id for run in train if "question_id" in run.metadata}
    alike = [run.question_id for run in held if "question_id" in run.metadata and run.question_id in known]
    if alike:
        raise DataError(
            f"{len(alike):,} held-out runs have the question_id of a run to train on that asks something else, such as "
            f"{alike[0][:80]!r}; give each question an id of its own when it is recorded, or hold out none "
            "(split.held_out=0)."
        )


def questions_fingerprint(runs: Iterable[RunRecord]) -> str:
    """Names the questions of these runs: 16 hex digits."""
    return fingerprint_of(run.question for run in runs)


def _asked(run: RunRecord) -> str:
    return " ".join(run.question.casefold().split())
