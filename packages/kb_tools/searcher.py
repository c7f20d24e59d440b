"""From a query to ranked documents: the rankings of a knowledge base, their fusion, and what of each hit is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb_tools import tables
from kb_tools.documents import MODALITY_OF, Document, Image, Modality, Passage, Table
from kb_tools.hits import Hit, Source
from kb_tools.search import analysis, fusion, lexical
from kb_tools.search.snapshot import View
from kb_tools.space import Space
from kb_tools.units import document_from, rows_from

_ROWS_SHOWN = 10
_BLOCKS_READ = 20  # row units of a large table whose rows are looked at one by one
_SNIPPET = 1_600  # characters of a text that is shown whole


@dataclass(slots=True)
class Ranking:
    """Documents best first, and the score of each row that led to it."""

    documents: list[str]
    scores: list[float]
    rows: NDArray[np.float32]


@dataclass(slots=True)
class Found:
    """The result of one search before it is shown."""

    ranked: list[tuple[str, float]]
    rankings: dict[Source, Ranking] = field(default_factory=dict)
    _places: dict[Source, dict[str, int]] = field(init=False)

    def __post_init__(self) -> None:
        self._places = {s: {doc: n for n, doc in enumerate(r.documents, start=1)} for s, r in self.rankings.items()}

    def ranks(self, document: str) -> dict[Source, int]:
        """At which rank, from 1, each search found a document."""
        return {source: places[document] for source, places in self._places.items() if document in places}


def dense(space: Space, view: View, vector: NDArray[np.float32], mask: NDArray[np.bool_] | None, depth: int) -> Ranking:
    """Documents by the cosine of their nearest unit."""
    for scan in (mask is not None, True):
        rows = space.cosine(view, vector, scan=scan)
        found = _ranking(view, rows if _all(view, mask) else np.where(_alive(view, mask), rows, -np.inf), depth)
        # The index gives a number of units: too few documents where k is large, or one document has many near units.
        if scan or len(found.documents) >= min(depth, len(view.rows_of)):
            break
    return found


def within(view: View, documents: Iterable[str]) -> NDArray[np.bool_]:
    """The rows of these documents; unknown ids are ignored."""
    mask = np.zeros(len(view.ids), bool)
    mask[[row for document in documents for row in view.rows_of.get(document, ())]] = True
    return mask


def words(view: View, query: str, mask: NDArray[np.bool_] | None, depth: int) -> Ranking:
    """Documents by the BM25 score of their best unit; those without any of the words are left out."""
    rows = lexical.bm25(query, view.postings)
    return _ranking(view, np.where((rows > 0) & _alive(view, mask), rows, -np.inf).astype(np.float32), depth)


def fuse(rankings: dict[Source, Ranking], k: int, modality: Modality) -> Found:
    """The best k documents. One ranking keeps its own scores; several are fused by rank."""
    if len(rankings) == 1:
        only = next(iter(rankings.values()))
        return Found(list(zip(only.documents, only.scores, strict=True))[:k], rankings)
    fused = fusion.fuse({s: r.documents for s, r in rankings.items()}, fusion.WEIGHTS[modality])
    return Found(fused[:k], rankings)


def show(kb: str, space: Space, view: View, query: str, found: Found) -> list[Hit]:
    """Fetch what the hits show. A document that was deleted since the view was made is left out."""
    best = {doc: _best_row(view, found, doc) for doc, _ in found.ranked}
    wanted = [f"{doc}#0" for doc in best] + [view.ids[row] for row in best.values() if row is not None]
    records = space.records(list(dict.fromkeys(wanted)))
    hits = []
    for doc, score in found.ranked:
        head = records.get(f"{doc}#0")
        if head is None:
            continue
        row = best[doc]
        unit = records.get(view.ids[row], head) if row is not None else head
        document = document_from(*head)
        rows = _rows_shown(document, view, space, found, query) if isinstance(document, Table) else range(0)
        hits.append(
            Hit(
                kb=kb,
                doc_id=doc,
                title=document.title,
                text=_text(document, unit[0], rows),
                score=score,
                modality=MODALITY_OF[document.kind],
                found=found.ranks(doc),
                metadata=_metadata(document, rows),
            )
        )
    return hits


def _ranking(view: View, rows: NDArray[np.float32], depth: int) -> Ranking:
    best = fusion.top(view.per_document(rows), view.documents, depth)
    return Ranking([view.documents[n] for n, _ in best], [score for _, score in best], rows)


def _all(view: View, mask: NDArray[np.bool_] | None) -> bool:
    return mask is None and view.all_alive


def _alive(view: View, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    return view.alive if mask is None else view.alive & mask


def _best_row(view: View, found: Found, document: str) -> int | None:
    """The unit that speaks for a document: the nearest by meaning, else by words."""
    rows = view.rows_of.get(document, [])
    for source in ("dense", "lexical"):
        ranking = found.rankings.get(source)
        if ranking is not None and rows and len(ranking.rows) == len(view.ids):
            best = max(rows, key=lambda row: (ranking.rows[row], -row))
            if ranking.rows[best] > -np.inf:
                return best
    return rows[0] if rows else None


def _rows_shown(table: Table, view: View, space: Space, found: Found, query: str) -> Sequence[int]:
    return range(len(table.rows)) if tables.is_small(table) else _matching_rows(table, view, space, found, query)


def _text(document: Document, unit: str, rows: Sequence[int]) -> str:
    if isinstance(document, Table):
        return tables.excerpt(document, rows)
    if isinstance(document, Passage):
        return document.text if len(document.text) <= _SNIPPET else unit[:_SNIPPET]
    return "\n".join(dict.fromkeys(part for part in (document.caption, document.alt) if part)) or unit


def _matching_rows(table: Table, view: View, space: Space, found: Found, query: str) -> list[int]:
    """The rows of a large table to show: those with most of the query's words fused with those nearest by meaning."""
    units = [row for row in view.rows_of.get(table.id, []) if not view.ids[row].endswith("#0")]
    blocks: list[int] = []
    for source in ("dense", "lexical"):
        ranking = found.rankings.get(source)
        if ranking is not None and len(ranking.rows) == len(view.ids):
            scored = [row for row in units if ranking.rows[row] > -np.inf]
            blocks += sorted(scored, key=lambda row: (-ranking.rows[row], row))[:_BLOCKS_READ]
    blocks = list(dict.fromkeys(blocks)) or units[:_BLOCKS_READ]
    records = space.records([view.ids[row] for row in blocks], texts=False)
    near = [n for row in blocks if view.ids[row] in records for n in rows_from(records[view.ids[row]][1])]
    candidates: Sequence[int] = range(len(table.rows)) if len(table.rows) <= 2_000 else near
    asked = set(analysis.words(query))
    overlap = {n: len(asked.intersection(analysis.words(" ".join(table.rows[n])))) for n in candidates}
    by_words = sorted((n for n in candidates if overlap[n]), key=lambda n: (-overlap[n], n))[:_ROWS_SHOWN]
    fused = fusion.fuse(
        {"lexical": [str(n) for n in by_words], "dense": [str(n) for n in near[:_ROWS_SHOWN]]}, fusion.WEIGHTS["table"]
    )
    return sorted(int(n) for n, _ in fused[:_ROWS_SHOWN])


def _metadata(document: Document, rows: Sequence[int]) -> Mapping[str, Any]:
    extra: dict[str, Any] = {}
    if isinstance(document, Table):
        extra = {"section": document.section, "rows": len(document.rows), "columns": document.header}
        if links := tables.links(document, rows):
            extra["links"] = links
    if isinstance(document, Image) and document.path is not None:
        extra = {"path": document.path}
    return {**document.metadata, **extra}
