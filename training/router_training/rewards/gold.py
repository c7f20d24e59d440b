"""What is right for the runs of a log.

A run brings it along as `metadata["gold"]` and `metadata["gold_documents"]`, or it stands in a file of questions in
FlashRAG's form, joined by the question's id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from router_graph.evaluation.gold import Gold, answers_of, needed_of
from router_graph.trajectories.records import RunRecord
from router_training.errors import DataError


def gold_documents(metadata: Mapping[str, Any]) -> object:
    """A question's needed documents as its metadata has them: a list of ids, or of lists of which one id is enough; an
    empty list where none is needed, None where it does not say."""
    return metadata.get("gold_documents")


class Questions:
    """Gold by question: by its id, or for runs that were recorded without one by its text."""

    def __init__(self, gold: Mapping[str, Gold] | None = None, texts: Mapping[str, Gold] | None = None) -> None:
        self._gold, self._texts = dict(gold or {}), dict(texts or {})

    def __len__(self) -> int:
        return len(self._gold)

    @classmethod
    def load(cls, path: str | Path, *, documents: Callable[[Mapping[str, Any]], object] = gold_documents) -> Questions:
        """Read a JSONL file of `id`, `question`, `golden_answers` and `metadata`.

        `documents` finds the needed documents in a question's metadata. Two questions of one text that have other
        answers are known by their ids alone. Raises `DataError` for a line that is no question, with its number.
        """
        gold: dict[str, Gold] = {}
        texts: dict[str, Gold | None] = {}
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                    one = Gold(answers_of(row["golden_answers"]), needed_of(documents(row.get("metadata") or {})))
                    identity, text = str(row["id"]), str(row.get("question", ""))
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise DataError(
                        f"Line {number} of {path} is no question ({type(error).__name__}: {error}); a line is "
                        '{"id": …, "question": …, "golden_answers": […], "metadata": {…}}.'
                    ) from error
                if identity in gold:
                    raise DataError(f"Line {number} of {path} has the id {identity!r} again; give each question one.")
                gold[identity] = one
                texts[text] = None if text in texts and texts[text] != one else one
        return cls(gold, {text: one for text, one in texts.items() if text and one is not None})

    def of(self, run: RunRecord) -> Gold:
        """The gold of a run, empty where nobody knows it: of the file, and what the file does not say, of the run."""
        known = self._gold.get(run.question_id) or self._texts.get(run.question) or Gold()
        metadata = run.metadata
        try:
            return Gold(
                known.answers or answers_of(metadata.get("gold") or ()),
                needed_of(gold_documents(metadata)) if known.documents is None else known.documents,
            )
        except TypeError as error:
            raise DataError(
                f"The gold of run {run.run_id!r} cannot be used ({error}); metadata['gold'] is a list of answers and "
                "metadata['gold_documents'] a list of ids."
            ) from error
