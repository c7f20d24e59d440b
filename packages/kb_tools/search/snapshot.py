"""What a search scans: ids, vectors and postings of one Chroma collection, kept in arrays beside it.

Chroma is the store of record. A snapshot is derived: it follows the collection by its revision, can be thrown away at
any time, and lies on disk only so that a process need not derive it again.
"""

from __future__ import annotations

import json
import logging
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from kb_tools.search import analysis
from kb_tools.search.lexical import Postings

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

log = logging.getLogger(__name__)

REVISION = "kb:rev"
"""Metadata key of a collection (its newest revision) and of a unit (the revision that wrote it)."""
LEXICAL = "kb:lex"
"""Metadata key of a unit: True where its text takes part in lexical search."""
_PAGE = 5_000
_SAVE_AFTER = 500  # changed units; fewer are derived again faster than they are written


def doc_of(unit_id: str) -> str:
    """The document that a unit belongs to: unit ids are `<document id>#<number>`."""
    return unit_id.rpartition("#")[0]


@dataclass(slots=True)
class Segment:
    """Units that were written together. Arrays are never changed; `alive` says which rows still count."""

    ids: list[str]
    vectors: NDArray[np.float32]
    """Shape (n, d), unit rows."""
    postings: Postings
    alive: NDArray[np.bool_]
    file: str | None = None

    def __len__(self) -> int:
        return len(self.ids)


class View:
    """One state of a snapshot, never changed: searches that run while a new state is made keep the old one."""

    def __init__(self, revision: int, segments: Sequence[Segment]) -> None:
        self.revision = revision
        self.segments = list(segments)
        self.alive = np.concatenate([s.alive for s in segments] or [np.empty(0, bool)])  # a copy
        self.ids = [unit for s in segments for unit in s.ids]
        self.all_alive = bool(self.alive.all())
        edges = np.cumsum([len(s) for s in segments], dtype=np.int64)[:-1]
        self.postings = list(zip([s.postings for s in segments], np.split(self.alive, edges), strict=False))

    def restored(self) -> list[Segment]:
        """The segments as they were when this view was made."""
        start = 0
        for segment in self.segments:
            segment.alive[:] = self.alive[start : start + len(segment)]
            start += len(segment)
        return list(self.segments)

    @cached_property
    def _documents(self) -> tuple[list[str], NDArray[np.int64]]:
        numbers: dict[str, int] = {}
        codes = np.fromiter(
            (numbers.setdefault(doc_of(unit), len(numbers)) for unit in self.ids), np.int64, len(self.ids)
        )
        return list(numbers), codes

    @property
    def documents(self) -> list[str]:
        """Ids of the documents that the rows belong to."""
        return self._documents[0]

    @property
    def document_of_row(self) -> NDArray[np.int64]:
        """Shape (n,): for each row the position of its document in `documents`."""
        return self._documents[1]

    @cached_property
    def rows(self) -> dict[str, int]:
        """The living row of each unit."""
        return {unit: row for row, unit in enumerate(self.ids) if self.alive[row]}

    @cached_property
    def rows_of(self) -> dict[str, list[int]]:
        """The living rows of each document."""
        found: dict[str, list[int]] = {}
        for unit, row in self.rows.items():
            found.setdefault(doc_of(unit), []).append(row)
        return found

    def units_of(self, document: str) -> list[str]:
        """The ids of the living units of a document."""
        return [self.ids[row] for row in self.rows_of.get(document, [])]

    def vector(self, row: int) -> NDArray[np.float32]:
        """The vector of a row, shape (d,)."""
        for segment in self.segments:
            if row < len(segment):
                vector: NDArray[np.float32] = segment.vectors[row]
                return vector
            row -= len(segment)
        raise IndexError(row)

    @cached_property
    def _grouped(self) -> tuple[NDArray[np.int64] | None, NDArray[np.int64]]:
        """The order that puts the rows of each document side by side (None: they are), and where each begins."""
        codes = self.document_of_row
        order = None if bool((np.diff(codes) >= 0).all()) else np.argsort(codes, kind="stable")
        in_order = codes if order is None else codes[order]
        return order, np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1]])[: len(codes)])

    @cached_property
    def _first_rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first row of each document, and all other rows."""
        first = np.unique(self.document_of_row, return_index=True)[1]
        others = np.ones(len(self.ids), bool)
        others[first] = False
        return first, np.flatnonzero(others)

    def per_document(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """A document scores what its best unit scores: (rows,) → (documents,)."""
        order, starts = self._grouped
        if len(starts) == len(scores):
            return scores  # a row each, so rows and documents have the same order
        if 2 * len(starts) > len(scores):  # most have one row, and a run of one is dear to reduceat
            first, others = self._first_rows
            best = scores[first]
            np.maximum.at(best, self.document_of_row[others], scores[others])
            return best
        runs: NDArray[np.float32] = np.maximum.reduceat(scores if order is None else scores[order], starts)
        return runs


class Snapshot:
    """Follows one collection. `folder` is where it is kept between processes; `stamp` names all that it depends on."""

    def __init__(self, folder: Path | None, stamp: str) -> None:
        self._folder = folder
        self._stamp = f"1/{analysis.VERSION}/{stamp}"
        self._segments: list[Segment] = []
        self._unsaved = 0
        self._view = View(-1, [])
        if folder is not None:
            self._load(folder)

    @property
    def view(self) -> View:
        """The newest state."""
        return self._view

    def follow(self, collection: Collection, revision: int, *, slack: int = 0) -> View:
        """Bring the snapshot up to a revision of its collection, reading again what is up to `slack` older than the
        last one that was seen. Not for two threads at once."""
        if revision == self._view.revision:
            return self._view
        try:
            return self._follow(collection, revision, slack)
        except BaseException:
            self._segments = self._view.restored()
            raise

    def _follow(self, collection: Collection, revision: int, slack: int) -> View:
        since = self._view.revision
        changed = 0
        rows = dict(self._view.rows) if since >= 0 else {}
        for page in _pages(collection, {REVISION: {"$gt": since - slack}} if since >= 0 else None):
            changed += self._append(page, rows)
        if collection.count() != len(rows):
            changed += self._reconcile(collection, rows)
        self._tidy()
        self._unsaved += changed
        self._view = View(revision, self._segments)
        return self._view

    def save(self, *, force: bool = False) -> None:
        """Keep the state on disk where enough has changed. Another process that is saving goes first, silently."""
        if self._folder is None or not self._unsaved or (self._unsaved < _SAVE_AFTER and not force):
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / "save.lock", timeout=0):
                self._write(self._folder)
        except (Timeout, OSError) as error:
            log.info("The search index in %s was not saved (%s); it will be derived again.", self._folder, error)

    def _append(self, page: dict[str, Any], rows: dict[str, int]) -> int:
        ids: list[str] = page["ids"]
        for unit in ids:
            if (old := rows.pop(unit, None)) is not None:
                self._kill(old)
        texts = [
            f"{meta.get('title', '')} {text}" if meta.get(LEXICAL) else ""
            for text, meta in zip(page["documents"], page["metadatas"], strict=True)
        ]
        start = sum(map(len, self._segments))
        self._segments.append(
            Segment(
                ids=ids,
                vectors=np.asarray(page["embeddings"], np.float32),
                postings=Postings.build(texts),
                alive=np.ones(len(ids), bool),
            )
        )
        rows.update((unit, start + number) for number, unit in enumerate(ids))
        return len(ids)

    def _reconcile(self, collection: Collection, rows: dict[str, int]) -> int:
        """After deletions, or a write that nobody announced: compare all ids."""
        there = set(collection.get(include=[])["ids"])
        gone = [unit for unit in rows if unit not in there]
        for unit in gone:
            self._kill(rows.pop(unit))
        missed = sorted(there.difference(rows))
        for start in range(0, len(missed), _PAGE):
            page = collection.get(ids=missed[start : start + _PAGE], include=["documents", "metadatas", "embeddings"])
            if page["ids"]:
                self._append(_whole(dict(page)), rows)
        return len(gone) + len(missed)

    def _kill(self, row: int) -> None:
        for segment in self._segments:
            if row < len(segment):
                segment.alive[row] = False
                return
            row -= len(segment)

    def _tidy(self) -> None:
        """Merge small segments into large ones, so that their number grows with the logarithm of the rows."""
        segments: list[Segment] = []
        for segment in self._segments:
            segments.append(segment)
            while len(segments) > 1 and len(segments[-2]) < 4 * len(segments[-1]):
                segments[-2:] = [_merge(segments[-2:])]
        if sum(len(s) - int(s.alive.sum()) for s in segments) > 0.25 * sum(map(len, segments)):
            segments = [_merge(segments)]
        self._segments = segments

    def _load(self, folder: Path) -> None:
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            if manifest["stamp"] != self._stamp:
                return
            self._segments = [_read_segment(folder, entry) for entry in manifest["segments"]]
            self._view = View(int(manifest["revision"]), self._segments)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile) as error:
            log.info("The search index in %s cannot be read (%s); it will be derived again.", folder, error)
            self._segments = []

    def _write(self, folder: Path) -> None:
        for segment in self._segments:
            if segment.file is None:
                segment.file = _write_segment(folder, segment)
        manifest = {
            "stamp": self._stamp,
            "revision": self._view.revision,
            "segments": [{"file": s.file, "dead": np.flatnonzero(~s.alive).tolist()} for s in self._segments],
        }
        draft = folder / f"manifest.{uuid.uuid4().hex}"
        draft.write_text(json.dumps(manifest))
        draft.replace(folder / "manifest.json")
        self._unsaved = 0
        kept = {str(s.file) for s in self._segments}
        for old in folder.glob("*.np[yz]"):
            if old.stem not in kept:
                old.unlink(missing_ok=True)  # a process that has it mapped keeps its pages


def _pages(collection: Collection, where: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    offset = 0
    while True:
        page = collection.get(where=where, limit=_PAGE, offset=offset, include=["documents", "metadatas", "embeddings"])
        if page["ids"]:
            yield _whole(dict(page))
        if len(page["ids"]) < _PAGE:
            return
        offset += _PAGE


def _whole(page: dict[str, Any]) -> dict[str, Any]:
    """A client that first read the vectors when there were none gives none later, and no error."""
    import chromadb.errors

    if len(page["embeddings"]) != len(page["ids"]):
        raise chromadb.errors.InternalError(f"{len(page['ids'])} units, but {len(page['embeddings'])} vectors")
    return page


def _merge(segments: Sequence[Segment]) -> Segment:
    return Segment(
        ids=[unit for s in segments for unit, alive in zip(s.ids, s.alive, strict=True) if alive],
        vectors=np.concatenate([s.vectors[s.alive] for s in segments]),
        postings=Postings.merge([(s.postings, s.alive) for s in segments]),
        alive=np.ones(sum(int(s.alive.sum()) for s in segments), bool),
    )


def _write_segment(folder: Path, segment: Segment) -> str:
    name = uuid.uuid4().hex
    np.save(folder / f"{name}.npy", segment.vectors, allow_pickle=False)
    postings = segment.postings
    np.savez(
        folder / f"{name}.npz",
        allow_pickle=False,
        ids=np.frombuffer(json.dumps(segment.ids).encode(), np.uint8),
        keys=postings.keys,
        starts=postings.starts,
        rows=postings.rows,
        counts=postings.counts,
        lengths=postings.lengths,
    )
    return name


def _read_segment(folder: Path, entry: dict[str, Any]) -> Segment:
    name = str(entry["file"])
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        ids: list[str] = json.loads(file["ids"].tobytes())
        alive = np.ones(len(ids), bool)
        alive[entry["dead"]] = False
        return Segment(
            ids=ids,
            vectors=np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)),
            postings=Postings(file["keys"], file["starts"], file["rows"], file["counts"], file["lengths"]),
            alive=alive,
            file=name,
        )
