"""OTT-QA as two knowledge bases: where the data lies, how it is read, and building it once for all benchmarks."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kb_tools import Catalog, KnowledgeBase, Passage, Table
from kb_tools.documents import Modality

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POLYROUTE_DATA", ROOT.parent / "shared" / "data")) / "ottqa"
BUILT = Path(__file__).parent / "results" / "ottqa-kb"


@dataclass(frozen=True)
class Question:
    """One question with its gold documents; any of `passages` holds the answer."""

    text: str
    table: str
    passages: frozenset[str]


def need_data() -> None:
    """End with one sentence where the data is missing."""
    if not DATA.is_dir():
        sys.exit(f"This benchmark needs OTT-QA in {DATA}; set POLYROUTE_DATA to the folder that holds ottqa/.")


def rows(name: str) -> Iterator[dict]:
    with (DATA / name).open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def questions(split: str) -> list[Question]:
    return [
        Question(row["question"], row["metadata"]["gold_table"], frozenset(row["metadata"]["gold_passages"]))
        for row in rows(f"questions.{split}.jsonl")
    ]


def passages() -> Iterator[Passage]:
    return (Passage(id=r["id"], title=r["title"], text=r["text"]) for r in rows("passages.jsonl"))


def tables() -> Iterator[Table]:
    for r in rows("tables.jsonl"):
        yield Table(
            id=r["id"],
            title=r["title"],
            section=r["section"],
            header=r["header"],
            rows=r["rows"],
            links=r["links"],
            metadata={"url": r["url"]},
        )


def build(catalog: Catalog) -> tuple[KnowledgeBase, KnowledgeBase, float]:
    """The knowledge bases `wikipedia` and `tables`, made where they are not there yet, and the seconds it took."""
    begun = time.perf_counter()
    text = made(catalog, "wikipedia", "text", "Lead paragraphs of Wikipedia articles: people, places, works, events.")
    table = made(catalog, "tables", "table", "Wikipedia tables: sports seasons, lists, charts, awards.")
    for kb, documents in ((text, passages), (table, tables)):
        if kb.count() < sum(1 for _ in documents()):
            kb.add(documents(), on_batch=lambda n: print(".", end="", file=sys.stderr, flush=True))
            print(file=sys.stderr)
    return text, table, time.perf_counter() - begun


def made(catalog: Catalog, name: str, modality: Modality, description: str) -> KnowledgeBase:
    """The knowledge base of a name; only opened where it is there, so that benchmarks can run side by side."""
    if name in catalog.names():
        return catalog.open(name)
    return catalog.create(name, description=description, modality=modality)
