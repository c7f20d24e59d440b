"""What is right: the answers of a question, and the documents that hold them.

A run brings it along as `metadata["gold"]` and `metadata["gold_documents"]`, or it stands in a file of questions in
FlashRAG's form, joined by the question's id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router_graph.evaluation.metrics import contains, normalize_answer
from router_graph.state import Hit
from router_graph.trajectories.records import RunRecord
from router_training.errors import DataError

_IN_ANY_TEXT = frozenset({"yes", "no", "noanswer"})
Needed = frozenset[str]
"""Ids of documents of which one is enough: `doc_id`, or `kb:doc_id` where two knowledge bases share an id."""


@dataclass(frozen=True, slots=True)
class Gold:
    """What is right for a question."""

    answers: tuple[str, ...] = ()
    """Each is right."""
    documents: tuple[Needed, ...] | None = None
    """All are needed. Empty where none is: the question is to be answered without a search. None where nobody knows."""

    def met(self, hits: Iterable[Hit]) -> frozenset[int]:
        """Which of the needed documents are among the hits, by their place in `documents`."""
        found = {name for hit in hits for name in (hit["doc_id"], f"{hit['kb']}:{hit['doc_id']}")}
        return frozenset(place for place, one in enumerate(self.documents or ()) if not one.isdisjoint(found))

    def stands_in(self, texts: Iterable[str]) -> bool:
        """Whether a right answer stands in one of the texts. Answers such as "yes" stand in any, and count in none."""
        golds = [one for one in self.answers if normalize_answer(one) not in _IN_ANY_TEXT]
        return any(contains(text, golds) for text in texts)


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
                    one = Gold(_answers(row["golden_answers"]), _needed(documents(row.get("metadata") or {})))
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
                known.answers or _answers(metadata.get("gold") or ()),
                _needed(gold_documents(metadata)) if known.documents is None else known.documents,
            )
        except TypeError as error:
            raise DataError(
                f"The gold of run {run.run_id!r} cannot be used ({error}); metadata['gold'] is a list of answers and "
                "metadata['gold_documents'] a list of ids."
            ) from error


def _answers(value: object) -> tuple[str, ...]:
    given = [value] if isinstance(value, str | int | float) else value
    if not isinstance(given, Sequence) or not all(isinstance(one, str | int | float) for one in given):
        raise TypeError(f"answers are a list of texts, and not {value!r:.80}")
    return tuple(text for one in given if (text := str(one)).strip())


def _needed(value: object) -> tuple[Needed, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"documents are a list of ids, and not {value!r:.80}")
    groups = [[one] if isinstance(one, str) else one for one in value]
    if not all(isinstance(one, Sequence) and one and all(isinstance(name, str) for name in one) for one in groups):
        raise TypeError(f"documents are a list of ids, or of lists of ids, and not {value!r:.80}")
    return tuple(dict.fromkeys(frozenset(one) for one in groups))
