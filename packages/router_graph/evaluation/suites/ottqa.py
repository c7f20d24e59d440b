"""OTT-QA: questions that need a Wikipedia table and, mostly, a passage that it links to (Chen et al., 2021).

The files are a closed pool: 789 tables and 17,841 passages, split by table. Figures do not compare with the
leaderboard, which searches 400,000 tables.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from kb_tools import Catalog, KnowledgeBase, Passage, Table
from kb_tools.documents import Document, Modality
from router_graph.errors import EvaluationError
from router_graph.evaluation.controls import CONTROLS
from router_graph.evaluation.learned import learner
from router_graph.evaluation.questions import fingerprint, read_questions, rows_of
from router_graph.evaluation.suites.suite import Suite, data_folder, file_mark, split_file
from router_graph.knowledge import Knowledge
from router_graph.resources import Resources

TEXT, TABLES = "wikipedia", "tables"
_SIMPLE = ("fanout", "gate", f"kb:{TABLES}", f"kb:{TEXT}")
_ABOUT: Mapping[str, tuple[Modality, str]] = {
    TEXT: ("text", "Lead paragraphs of Wikipedia articles: people, places, works, events."),
    TABLES: ("table", "Wikipedia tables: sports seasons, lists, charts, awards."),
}


@contextlib.contextmanager
def opened(
    data: Path | None,
    split: str,
    *,
    limit: int | None = None,
    work: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Suite]:
    """The suite of a split. Its two knowledge bases are built once, in `work`. Raises `EvaluationError`."""
    folder = data_folder(data, "ottqa")
    questions = read_questions(split_file(folder, "questions", split), gold=gold)[:limit]
    files = [folder / "passages.jsonl", folder / "tables.jsonl"]
    mark = file_mark(*files)
    train = folder / "questions.train.jsonl"
    learn, notes = learner(train, questions, gold=gold)
    with Catalog((work or user_cache_path("polyroute")) / f"ottqa-{mark}") as catalog:
        knowledge = [Knowledge.of(_built(catalog, name, folder, say)) for name in (TABLES, TEXT)]
        yield Suite(
            name="ottqa",
            title=f"OTT-QA {split}: a table, and a passage that it links to",
            questions=questions,
            resources=Resources(knowledge, policies=[kind() for kind in CONTROLS]),
            policies=("heuristic",),
            simple=_SIMPLE,
            headline="em",
            facts={"split": split, "questions": fingerprint(one.text for one in questions), "documents": mark},
            notes=(
                "The closed pool of OTT-QA's dev questions: not comparable with the leaderboard.",
                "Needed passages were found by string match, and any one of a question's is enough.",
                *notes,
            ),
            learn=learn,
        )


def gold(metadata: Mapping[str, Any]) -> tuple[object, object]:
    """The table, and any of the passages that hold the answer, where one does."""
    passages = metadata.get("gold_passages") or []
    documents = [metadata["gold_table"], *([passages] if passages else [])] if "gold_table" in metadata else None
    return documents, [TABLES, *([TEXT] if passages else [])]


def _built(catalog: Catalog, name: str, folder: Path, say: Callable[[str], None]) -> KnowledgeBase:
    modality, description = _ABOUT[name]
    known = name in catalog.names()
    kb = catalog.open(name) if known else catalog.create(name, description=description, modality=modality)
    path = folder / ("tables.jsonl" if name == TABLES else "passages.jsonl")
    rows = sum(1 for _ in rows_of(path))
    there = kb.count()
    if there < rows:
        begun, taken_in = time.perf_counter(), 0

        def tell(more: int) -> None:
            nonlocal taken_in
            taken_in += more
            left = (time.perf_counter() - begun) / taken_in * max(0, rows - there - taken_in)
            say(f"{name}: {there + taken_in:,} of {rows:,} documents, {left:.0f} s left")

        say(f"{name}: {rows:,} documents are taken in, once; {there:,} are there.")
        kb.add(_documents(path, modality), on_batch=tell)
    return kb


def _documents(path: Path, modality: Modality) -> Iterator[Document]:
    for number, row in rows_of(path):
        try:
            yield _passage(row) if modality == "text" else _table(row)
        except (KeyError, TypeError, ValueError) as error:
            wrong = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split("\n")[1:3])
            raise EvaluationError(f"{path}, line {number} is no {modality} of OTT-QA ({wrong}).") from None


def _passage(row: Mapping[str, Any]) -> Passage:
    return Passage(id=row["id"], title=row["title"], text=row["text"])


def _table(row: Mapping[str, Any]) -> Table:
    about = {name: row[name] for name in ("id", "title", "section", "header", "rows", "links")}
    return Table(**about, metadata={"url": row["url"]})
