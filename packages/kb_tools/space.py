"""One Chroma collection with the snapshot that follows it: a knowledge base has one for texts, one for pictures."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kb_tools.errors import KBInputError, UnknownKBError
from kb_tools.search import exact, hnsw
from kb_tools.search.snapshot import REVISION, Snapshot, View
from kb_tools.store import Store

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

_SERVER_SLACK = 60_000_000  # µs: writers of a server announce their revisions out of order, if they overlap
_FILTERS = 16
_ATTEMPTS = 5
_READ_AT_ONCE = 5_000  # SQLite takes 32,766 variables in a statement


class Space:
    """Units with vectors, by the name of their collection. Every call may be made from any thread."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        self._mutex = threading.RLock()
        self._handle: tuple[int, Collection | None] = (-1, None)
        self._collection_id = ""
        self._made_as: tuple[object, object] | None = None
        self._announced_of = ""
        self._snapshot: Snapshot | None = None
        self._filters: OrderedDict[tuple[int, str], NDArray[np.bool_]] = OrderedDict()

    @property
    def collection(self) -> Collection:
        """The collection as it is now. Raises `UnknownKBError` where it was removed meanwhile."""
        import chromadb.errors

        with self.store.session():
            try:
                collection = self.store.client.get_collection(self.name, embedding_function=None)
            except chromadb.errors.NotFoundError:
                raise UnknownKBError(f"The knowledge base behind {self.name!r} was removed.") from None
            header = collection.metadata or {}
            made_as = (header.get("kb:modality"), header.get("kb:embedding"))
            if self._made_as is None:
                self._made_as = made_as
            elif self._made_as != made_as:
                raise UnknownKBError(
                    f"The knowledge base behind {self.name!r} was removed, and made again as another; open it again."
                )
            self._handle = (self.store.generation, collection)
            return collection

    def _known_collection(self) -> Collection:
        """The handle that was last fetched, for reading units by id; fetching it costs as much as the reading."""
        generation, collection = self._handle
        return collection if collection is not None and generation == self.store.generation else self.collection

    @property
    def header(self) -> dict[str, Any]:
        """What the collection says of itself."""
        return dict(self.collection.metadata or {})

    def view(self) -> View:
        """All units as of now, whoever wrote them."""
        import chromadb.errors

        with self._mutex:
            for attempt in range(_ATTEMPTS):
                collection = self.collection
                revision = int((collection.metadata or {}).get(REVISION, 0))
                if self._snapshot is None or self._collection_id != str(collection.id):
                    self._collection_id = str(collection.id)
                    self._snapshot = Snapshot(self.store.cache / self._collection_id, self._collection_id)
                if revision == self._snapshot.view.revision:
                    break
                # A local client never sees what another process did to the vectors after it first read them (Chroma
                # issue 3792), and fails on those that were deleted. Only a new client does.
                read_in = self.store.vectors_read.get(self._collection_id)
                if read_in == self.store.generation and not self.store.sees_all_writes:
                    self.store.reopen()
                try:
                    with self.store.session(translate=attempt == _ATTEMPTS - 1):
                        # Fetched in the session that uses it: another thread may have reopened the client since.
                        collection = self._known_collection()
                        if str(collection.id) != self._collection_id:
                            continue
                        self._reads_vectors()
                        slack = _SERVER_SLACK if self.store.is_server else 0
                        return self._snapshot.follow(collection, revision, slack=slack)
                except (chromadb.errors.InternalError, chromadb.errors.NotFoundError):
                    continue  # the other process went on writing meanwhile, or removed the collection
            return self._snapshot.view if self._snapshot is not None else View(-1, [])

    def _reads_vectors(self) -> None:
        self.store.vectors_read[self._collection_id] = self.store.generation

    def save(self, *, force: bool = False) -> None:
        """Keep the snapshot on disk."""
        with self._mutex:
            if self._snapshot is not None:
                self._snapshot.save(force=force)

    def cosine(self, view: View, vector: NDArray[np.float32], *, scan: bool) -> NDArray[np.float32]:
        """Cosine of a unit vector with each row: a scan below `hnsw.EXACT_BELOW` rows or where `scan` asks for it.

        Scans too where the index fails, as a reader's does when another process deletes meanwhile.
        """
        import chromadb.errors

        if scan or len(view.ids) < hnsw.EXACT_BELOW:
            return exact.cosine(view, vector)
        try:
            with self.store.session(translate=False):
                self._reads_vectors()
                return hnsw.cosine(view, self._known_collection(), vector)
        except (chromadb.errors.InternalError, chromadb.errors.NotFoundError):
            return exact.cosine(view, vector)

    def matching(self, view: View, where: Mapping[str, Any]) -> NDArray[np.bool_]:
        """The rows that a Chroma filter lets through. Raises `KBInputError` for a filter that Chroma refuses."""
        try:
            key = (view.revision, json.dumps(where, sort_keys=True))
        except TypeError as error:
            raise KBInputError(f"where must be JSON values: {error}.") from error
        with self._mutex:
            if key not in self._filters:
                mask = np.zeros(len(view.ids), bool)
                mask[[view.rows[unit] for unit in self._select(where) if unit in view.rows]] = True
                self._filters[key] = mask
                while len(self._filters) > _FILTERS:
                    self._filters.popitem(last=False)
            return self._filters[key]

    def records(self, ids: Sequence[str], *, texts: bool = True) -> dict[str, tuple[str, dict[str, Any]]]:
        """Text and metadata of units, by id; ids that are not there are left out."""
        if not ids:
            return {}
        records: dict[str, tuple[str, dict[str, Any]]] = {}
        for start in range(0, len(ids), _READ_AT_ONCE):
            found = self._read(list(ids[start : start + _READ_AT_ONCE]), texts)
            documents = found["documents"] or [""] * len(found["ids"])
            records |= {
                unit: (text or "", dict(record))
                for unit, text, record in zip(found["ids"], documents, found["metadatas"] or [], strict=True)
            }
        return records

    def _read(self, ids: list[str], texts: bool) -> Any:
        import chromadb.errors

        include: Any = ["documents", "metadatas"] if texts else ["metadatas"]
        with self.store.session():
            try:
                return self._known_collection().get(ids=ids, include=include)
            except chromadb.errors.NotFoundError:  # removed, and perhaps made again
                return self.collection.get(ids=ids, include=include)

    def recover(self) -> None:
        """Announce what a write before left unannounced: by a process that was killed, or on a full disk. The caller
        is the writer."""
        with self.store.session():
            collection = self.collection
            if self._announced_of != str(collection.id):
                _announce(collection, _next_revision(collection))
                self._announced_of = str(collection.id)

    def write(
        self,
        ids: Sequence[str],
        texts: Sequence[str],
        vectors: NDArray[np.float32],
        records: Sequence[dict[str, Any]],
        *,
        stale: Sequence[str] = (),
    ) -> None:
        """Write units, remove `stale` ones, then announce both. Durable when it returns; the caller is the writer."""
        with self.store.session():
            collection = self.collection
            revision = _next_revision(collection)
            self._announced_of = ""
            most = int(self.store.client.get_max_batch_size())
            # Heads come first in a document; written last, they vouch for the rest of it after a crash.
            for start in reversed(range(0, len(ids), most)):
                span = slice(start, start + most)
                collection.upsert(
                    ids=list(ids[span]),
                    documents=list(texts[span]),
                    embeddings=vectors[span],
                    metadatas=[{**record, REVISION: revision} for record in records[span]],
                )
            self._delete(collection, stale)
            _announce(collection, revision)
            self._announced_of = str(collection.id)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove units and announce it."""
        with self.store.session():
            collection = self.collection
            self._announced_of = ""
            self._delete(collection, ids)
            _announce(collection, _next_revision(collection))
            self._announced_of = str(collection.id)

    def describe_as(self, **changed: Any) -> None:
        """Change what the collection says of itself."""
        with self.store.session():
            collection = self.collection
            collection.modify(metadata={**(collection.metadata or {}), **changed})

    def drop(self) -> None:
        """Remove the collection and what was derived from it."""
        with self.store.session():
            folder = self.store.cache / str(self.collection.id)
            self.store.client.delete_collection(self.name)
        shutil.rmtree(folder, ignore_errors=True)

    def _delete(self, collection: Collection, ids: Sequence[str]) -> None:
        most = int(self.store.client.get_max_batch_size())
        for start in range(0, len(ids), most):
            collection.delete(ids=list(ids[start : start + most]))

    def _select(self, where: Mapping[str, Any]) -> list[str]:
        import chromadb.errors

        try:
            with self.store.session(translate=False):
                return list(self.collection.get(where=dict(where), include=[])["ids"])
        except chromadb.errors.NotFoundError:
            raise UnknownKBError(f"The knowledge base behind {self.name!r} was removed.") from None
        except (ValueError, TypeError, chromadb.errors.InvalidArgumentError) as error:
            raise KBInputError(
                f"where={json.dumps(where)} is no filter that Chroma knows ({' '.join(str(error).split())}); "
                'write for example {"year": {"$gte": 2020}}.'
            ) from error


def _next_revision(collection: Collection) -> int:
    # Microseconds since 1970, so that two writers of a server do not take the same number.
    return max(int((collection.metadata or {}).get(REVISION, 0)) + 1, time.time_ns() // 1_000)


def _announce(collection: Collection, revision: int) -> None:
    collection.modify(metadata={**(collection.metadata or {}), REVISION: revision})
