"""Questions with their right answers, from a file in FlashRAG's form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router_graph.errors import QuestionError
from router_graph.evaluation.gold import Gold, answers_of, needed_of

FORM = '{"id": …, "question": …, "golden_answers": […], "metadata": {…}}'


@dataclass(frozen=True, slots=True)
class Question:
    """One question, and what is right for it."""

    id: str
    text: str
    gold: Gold
    sources: frozenset[str] = frozenset()
    """The knowledge bases that have to be asked, by name; empty where nobody says."""


FindGold = Callable[[Mapping[str, Any]], tuple[object, object]]
"""What finds in a question's metadata its needed documents and the knowledge bases that have them; None is unknown."""


def stated(metadata: Mapping[str, Any]) -> tuple[object, object]:
    """`gold_documents`, a list of ids or of lists of which one id is enough, and `gold_kbs`, a list of names."""
    return metadata.get("gold_documents"), metadata.get("gold_kbs")


def read_questions(path: str | Path, *, gold: FindGold = stated) -> list[Question]:
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
                        row = json.loads(line)
                        if "\\u" in line:
                            json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair goes into no file
                        yield number, row
                    except (ValueError, RecursionError) as error:
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


def gold_mark(questions: Iterable[Question]) -> str:
    """Names the questions with their ids and what is right for them: outcomes of others are not theirs."""
    told = [
        (one.id, one.text, one.gold.answers, [sorted(group) for group in one.gold.documents or ()], sorted(one.sources))
        for one in questions
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def essence(question: str) -> str:
    """What two spellings of one question share."""
    return " ".join(question.casefold().split())


def _question(row: Any, where: str, gold: FindGold) -> Question:
    missing = [key for key in ("id", "question", "golden_answers") if not isinstance(row, dict) or key not in row]
    if missing:
        raise QuestionError(f"{where} has no {' and no '.join(missing)}; a line is {FORM}.")
    if not isinstance(row["question"], str) or not row["question"].strip():
        raise QuestionError(f"{where}: the question is {row['question']!r:.40}; it is a text.")
    metadata = row.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise QuestionError(f"{where}: the metadata is {metadata!r:.40}; it is an object.")
    try:
        answers = answers_of(row["golden_answers"])
    except TypeError:
        answers = ()
    if not answers:
        raise QuestionError(f"{where}: golden_answers is {row['golden_answers']!r:.40}; it is a list of right answers.")
    try:
        documents, sources = gold(metadata)
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise QuestionError(
            f"{where}: the metadata does not say what is needed as this layout does ({type(error).__name__}: {error})."
        ) from None
    try:
        needed = needed_of(documents)
    except TypeError:
        raise QuestionError(
            f"{where}: gold_documents is {documents!r:.40}; it is a list of ids, or of lists of ids of which one is "
            "enough."
        ) from None
    try:
        named = frozenset(answers_of(sources or ()))
    except TypeError:
        raise QuestionError(
            f"{where}: gold_kbs is {sources!r:.40}; it is a list of names of knowledge bases."
        ) from None
    return Question(str(row["id"]), row["question"], Gold(answers, needed), named)
