"""Documents → units with vectors, in batches that are durable one by one: the writing side of a knowledge base."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kb_tools.documents import MODALITY_OF, Document, Image, Modality, Passage, Table
from kb_tools.errors import KBInputError, UnreadableFileError
from kb_tools.search.snapshot import View
from kb_tools.space import Space
from kb_tools.units import DIGEST, NUMBER, OURS, UNITS, WINDOW, digest, metadata_of, units_of

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from kb_tools.images import ImageEmbedder

_BATCH_UNITS = 512
_EMBEDDED_AT_ONCE = 64
_PICTURES = 16


class AddReport(BaseModel):
    """What an `add` did, in documents."""

    model_config = ConfigDict(frozen=True)

    added: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: AddReport) -> AddReport:
        return AddReport(
            added=self.added + other.added,
            updated=self.updated + other.updated,
            unchanged=self.unchanged + other.unchanged,
        )


class Indexer:
    """Writes to the spaces of one knowledge base. Raises `KBLockedError` while another process writes to the folder."""

    def __init__(
        self,
        name: str,
        modality: Modality,
        text: Space,
        visual: Space | None,
        embedding: Embeddings,
        image_embedder: ImageEmbedder | None,
    ) -> None:
        self._name = name
        self._modality = modality
        self._text = text
        self._visual = visual
        self._embedding = embedding
        self._image_embedder = image_embedder

    def add(
        self,
        documents: Iterable[Document] | Passage | Table | Image,
        *,
        on_batch: Callable[[int], None] | None = None,
        on_share: Callable[[float], None] | None = None,
    ) -> AddReport:
        """See `KnowledgeBase.add`."""
        if isinstance(documents, Passage | Table | Image):
            documents = [documents]
        self._text.store.acquire_writer()
        report = AddReport()
        for batch in _batches(documents, self._checked):
            with self._text.store.writes:
                report += self._add_batch(batch, on_share)
            if on_batch is not None:
                on_batch(len(batch))
        if report.added or report.updated:
            self._settle()
        return report

    def delete(self, ids: Sequence[str]) -> int:
        """See `KnowledgeBase.delete`."""
        ids = [ids] if isinstance(ids, str) else ids
        self._text.store.acquire_writer()
        with self._text.store.writes:
            view = self._recovered()
            known = {doc: units for doc in ids if (units := view.units_of(doc))}
            if known:
                self._text.delete(list(itertools.chain.from_iterable(known.values())))
                if self._visual is not None:
                    self._visual.delete([f"{doc}#0" for doc in known])
                self._settle()
        return len(known)

    def _checked(self, document: Document) -> Document:
        if not isinstance(document, Passage | Table | Image):
            raise KBInputError(f"add() takes Passage, Table or Image documents, not {type(document).__name__}.")
        if MODALITY_OF[document.kind] != self._modality:
            raise KBInputError(
                f"{document.id!r} is a {document.kind}, but {self._name!r} holds {self._modality}; "
                f"put it in a knowledge base of modality {MODALITY_OF[document.kind]!r}."
            )
        return document

    def _add_batch(self, batch: list[Document], on_share: Callable[[float], None] | None) -> AddReport:
        latest = {document.id: document for document in batch}
        view = self._recovered()
        held = {doc: set(view.units_of(doc)) for doc in latest}
        known = self._heads_of(list(latest))
        new = [
            d
            for d in latest.values()
            if d.id not in known or known[d.id].get(DIGEST) != digest(d) or known[d.id].get(UNITS) != len(held[d.id])
        ]
        if new:
            units = [units_of(document) for document in new]
            flat = list(itertools.chain.from_iterable(units))
            # Chroma keeps the keys of an old record that the new one lacks, unless they are None.
            records = [
                {key: None for key in known.get(document.id, {}) if not key.startswith(OURS)} | record
                for document, own in zip(new, units, strict=True)
                for record in metadata_of(document, own)
            ]
            vectors = self._vectors([unit.embedded for unit in flat], on_share)
            if self._visual is not None and self._image_embedder is not None:
                self._add_pictures([d for d in new if isinstance(d, Image)])
            stale = list(set().union(*(held[d.id] for d in new)).difference(unit.id for unit in flat))
            self._text.write([u.id for u in flat], [u.text for u in flat], vectors, records, stale=stale)
        updated = sum(document.id in known for document in new)
        return AddReport(added=len(new) - updated, updated=updated, unchanged=len(latest) - len(new))

    def _add_pictures(self, pictures: Sequence[Image]) -> None:
        assert self._visual is not None and self._image_embedder is not None
        # A few at a time: their bytes may be large.
        vectors = np.concatenate([self._seen(pictures[n : n + _PICTURES]) for n in range(0, len(pictures), _PICTURES)])
        ids = [f"{picture.id}#0" for picture in pictures]
        # Written before the texts: a document counts as added once its head is in the text space.
        self._visual.write(ids, [""] * len(ids), vectors, [{NUMBER: 0} for _ in ids])

    def _seen(self, pictures: Sequence[Image]) -> NDArray[np.float32]:
        assert self._image_embedder is not None
        data = []
        for picture in pictures:
            try:
                data.append(picture.read())
            except OSError as error:
                raise UnreadableFileError(f"The picture of {picture.id!r} cannot be read: {error}") from error
        try:
            return self._image_embedder.embed_images(data)
        except UnreadableFileError as error:
            names = ", ".join(repr(picture.id) for picture in pictures)
            raise UnreadableFileError(f"One of the pictures {names} cannot be read: {error}") from error

    def _recovered(self) -> View:
        """What is there, with what a write that failed or was killed left behind."""
        for space in filter(None, (self._text, self._visual)):
            space.recover()
        return self._text.view()

    def _heads_of(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The head record of those documents that are there."""
        records = self._text.records([f"{doc}#0" for doc in ids], texts=False)
        return {unit.rpartition("#")[0]: record for unit, (_, record) in records.items()}

    def _settle(self) -> None:
        for space in filter(None, (self._text, self._visual)):
            space.view()
            space.save()

    def _vectors(self, texts: list[str], on_share: Callable[[float], None] | None) -> NDArray[np.float32]:
        as_array = getattr(self._embedding, "embed_array", None)  # MiniLM's own, without a detour through lists
        embed = as_array if as_array is not None else self._embedding.embed_documents
        parts = []
        for start in range(0, len(texts), _EMBEDDED_AT_ONCE):
            parts.append(np.asarray(embed(texts[start : start + _EMBEDDED_AT_ONCE]), np.float32))
            if on_share is not None:
                on_share(min(1.0, (start + _EMBEDDED_AT_ONCE) / len(texts)))
        return unit_rows(np.concatenate(parts))


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors at unit length, shape (…, d); a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return unit


def _batches(documents: Iterable[Document], checked: Callable[[Document], Document]) -> Iterator[list[Document]]:
    """Batches of about `_BATCH_UNITS` units. A bad document ends the last batch before the error is raised."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        try:
            batch.append(checked(document))
        except KBInputError:
            if batch:
                yield batch
            raise
        size += _units_about(document)
        if size >= _BATCH_UNITS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _units_about(document: Document) -> int:
    if isinstance(document, Table):
        return len(document.rows) + 1
    return len(document.text) // WINDOW + 1 if isinstance(document, Passage) else 1
