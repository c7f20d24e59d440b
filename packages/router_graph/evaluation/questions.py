"""Questions with their right answers, from a file in FlashRAG's form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router_graph.errors import QuestionError
from router_graph.state import Hit

Needed = frozenset[str]
"""Ids of documents of which one is enough: `doc_id`, or `kb:doc_id` where two knowledge bases share an id."""
FORM = '{"id": …, "question": …, "golden_answers": […], "metadata": {…}}'


@dataclass(frozen=True, slots=True)
class Question:
    """One question, and what is right for it."""

    id: str
    text: str
    answers: tuple[str, ...]
    """Each is right."""
    documents: tuple[Needed, ...] | None = None
    """All are needed; empty where none is, None where nobody says."""
    sources: frozenset[str] = frozenset()
    """The knowledge bases that have to be asked, by name; empty where nobody says."""

    def found(self, hits: Iterable[Hit]) -> frozenset[int]:
        """Which of the needed documents are among the hits, by their place in `documents`."""
        names = {name for hit in hits for name in (hit["doc_id"], f"{hit['kb']}:{hit['doc_id']}")}
        return frozenset(place for place, one in enumerate(self.documents or ()) if not one.isdisjoint(names))


Gold = Callable[[Mapping[str, Any]], tuple[object, object]]
"""What finds in a question's metadata its needed documents and the knowledge bases that have them; None is unknown."""


def stated(metadata: Mapping[str, Any]) -> tuple[object, object]:
    """`gold_documents`, a list of ids or of lists of which one id is enough, and `gold_kbs`, a list of names."""
    return metadata.get("gold_documents"), metadata.get("gold_kbs")


def read_questions(path: str | Path, *, gold: Gold = stated) -> list[Question]:
    """The questions of a JSONL file, in its order; raises `QuestionError` with the line where one cannot be used."""
    questions: list[Question] = []
    seen: dict[str, int] = {}
    for number, row in rows_of(path):
        where = f"{path}, line {number}"
        one = _question(row, where, gold)
        if one.id in seen:
            raise QuestionError(f"{where}: the id {one.id!r} is that of line {seen[one.id]} too; give each its own.")
        seen[one.id] = number
        questions.append(one)
    if not questions:
        raise QuestionError(f"There is no question in {path}; a line is {FORM}.")
    return questions


def rows_of(path: str | Path) -> Iterator[tuple[int, Any]]:
    """What each line of a JSONL file holds, with its number; blank lines are left out. Raises `QuestionError`."""
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    try:
                        yield number, json.loads(line)
                    except ValueError as error:
                        raise QuestionError(f"{path}, line {number} is no JSON ({error}).") from None
    except OSError as error:
        raise QuestionError(f"The file {str(path)!r} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise QuestionError(f"{path} is no text in UTF-8.") from None


def mark_of(question: str) -> str:
    """Names a question: 16 hex digits of its words."""
    return hashlib.sha256(essence(question).encode()).hexdigest()[:16]


def fingerprint(questions: Iterable[str]) -> str:
    """Names a set of questions, whatever their order, case and spacing: 16 hex digits."""
    return hashlib.sha256("\n".join(sorted({essence(one) for one in questions})).encode()).hexdigest()[:16]


def essence(question: str) -> str:
    """What two spellings of one question share."""
    return " ".join(question.casefold().split())


def _question(row: Any, where: str, gold: Gold) -> Question:
    missing = [key for key in ("id", "question", "golden_answers") if not isinstance(row, dict) or key not in row]
    if missing:
        raise QuestionError(f"{where} has no {' and no '.join(missing)}; a line is {FORM}.")
    if not isinstance(row["question"], str) or not row["question"].strip():
        raise QuestionError(f"{where}: the question is {row['question']!r:.40}; it is a text.")
    metadata = row.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise QuestionError(f"{where}: the metadata is {metadata!r:.40}; it is an object.")
    answers = texts(row["golden_answers"])
    if not answers:
        raise QuestionError(f"{where}: golden_answers is {row['golden_answers']!r:.40}; it is a list of right answers.")
    documents, sources = gold(metadata)
    named = texts(sources or ())
    if named is None:
        raise QuestionError(f"{where}: gold_kbs is {sources!r:.40}; it is a list of names of knowledge bases.")
    return Question(str(row["id"]), row["question"], answers, _needed(documents, where), frozenset(named))


def texts(value: object) -> tuple[str, ...] | None:
    """A text, or a list of texts and numbers, as texts that are not blank; None for anything else."""
    given = [value] if isinstance(value, str | int | float) else value
    if not isinstance(given, Sequence) or not all(isinstance(one, str | int | float) for one in given):
        return None
    return tuple(text for one in given if (text := str(one)).strip())


def _needed(value: object, where: str) -> tuple[Needed, ...] | None:
    if value is None:
        return None
    groups = None if isinstance(value, str) or not isinstance(value, Sequence) else list(map(texts, value))
    if groups is None or None in groups:
        raise QuestionError(
            f"{where}: gold_documents is {value!r:.40}; it is a list of ids, or of lists of ids of which one is enough."
        )
    return tuple(dict.fromkeys(frozenset(one) for one in groups if one))
