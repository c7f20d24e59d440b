"""A named collection of documents that can be searched by words, by meaning, and for images by pixels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kb_tools import searcher
from kb_tools.documents import Document, Image, Modality, Passage, Table, check_text
from kb_tools.errors import KBInputError
from kb_tools.hits import Hit, Mode, Source
from kb_tools.indexer import AddReport, Indexer, unit_rows
from kb_tools.search.fusion import DEPTH
from kb_tools.search.snapshot import View
from kb_tools.space import Space
from kb_tools.units import document_from

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.tools import BaseTool
    from langchain_core.vectorstores import VectorStore

    from kb_tools.images import ImageEmbedder
    from kb_tools.sql import Cell, SQLResult, TableDatabase

_FEW = 5
_PAGE = 500
_MODES = ("hybrid", "dense", "lexical")


class Description(BaseModel):
    """What a knowledge base is, for a person or a policy."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    modality: Modality
    cost_usd: float
    """USD per search."""
    documents: int
    units: int
    """Windows, table rows and the like: what is searched."""
    embedding: str
    image_embedding: str | None
    location: str


class KnowledgeBase:
    """Documents of one modality under one name. Get one from a `Catalog`.

    Every verb has an async twin (`aadd`, `asearch`, …) that runs it in a thread. Safe to share between threads.
    """

    def __init__(
        self,
        text: Space,
        visual: Space | None,
        *,
        embedding: Embeddings,
        image_embedder: ImageEmbedder | None,
    ) -> None:
        header = text.header
        self.name = str(header["kb:name"])
        self.description = str(header["kb:description"])
        self.modality: Modality = header["kb:modality"]
        self.cost_usd = float(header["kb:cost_usd"])
        self.embedding = embedding
        self._embedding_name = str(header["kb:embedding"])
        self._image_embedder = image_embedder
        self._text = text
        self._visual = visual
        self._indexer = Indexer(self.name, self.modality, text, visual, embedding, image_embedder)
        self._tables: TableDatabase | None = None

    def __repr__(self) -> str:
        return f"<KnowledgeBase {self.name!r} of {self.modality} in {self._text.store.location}>"

    def add(
        self,
        documents: Iterable[Document] | Passage | Table | Image,
        *,
        on_batch: Callable[[int], None] | None = None,
        on_share: Callable[[float], None] | None = None,
    ) -> AddReport:
        """Add documents, or replace those with a known id; unchanged ones cost nothing.

        Written in batches: when `on_batch(n)` is called, n more documents are durable; before that, `on_share(x)` says
        from time to time which share of the batch is embedded, from 0 to 1. Raises `KBLockedError` while
        another process writes to the folder, and `KBInputError` for a document that does not belong here; what came
        before it is kept.
        """
        return self._indexer.add(documents, on_batch=on_batch, on_share=on_share)

    def search(
        self,
        query: str = "",
        k: int | None = None,
        *,
        where: Mapping[str, Any] | None = None,
        within: Sequence[str] | None = None,
        mode: Mode = "hybrid",
        image: bytes | str | Path | None = None,
    ) -> list[Hit]:
        """The k best documents; without k the best 5, or as many as there are.

        `where` is a Chroma metadata filter. `within` are ids of documents: only among these, of which unknown ones
        are ignored. `mode` says what a text query looks at. `image`, bytes or a path, asks an
        image knowledge base for pictures that look alike; with a query as well, both count. Raises `KBInputError` for
        an empty query, an unknown mode, and a k below 1 or above the number of documents.
        """
        if mode not in _MODES:
            raise KBInputError(f"mode is {mode!r}; it can be {', '.join(map(repr, _MODES))}.")
        if not isinstance(query, str):
            raise KBInputError(f"The query is {type(query).__name__}; it must be text.")
        if image is None and not query.strip():
            raise KBInputError("The query is empty; ask for something.")
        view = self._text.view()
        k = self._checked_k(k, len(view.documents) if view.all_alive else len(view.rows_of))
        allowed = None if within is None else frozenset([within] if isinstance(within, str) else within)
        mask = self._mask(view, where, allowed)
        depth = max(DEPTH, k)
        rankings: dict[Source, searcher.Ranking] = {}
        if query.strip() and mode != "lexical":
            rankings["dense"] = searcher.dense(self._text, view, self._vector(query), mask, depth)
        if query.strip() and mode != "dense":
            rankings["lexical"] = searcher.words(view, query, mask, depth)
        seen = self._look(query if mode != "lexical" else "", image, where, allowed, depth)
        if seen is not None:
            rankings["visual"] = seen
        return searcher.show(self.name, self._text, view, query, searcher.fuse(rankings, k, self.modality))

    def search_by_vector(
        self, vector: Sequence[float], k: int | None = None, *, where: Mapping[str, Any] | None = None
    ) -> list[Hit]:
        """The k documents nearest to a vector of this knowledge base's embedding."""
        view = self._text.view()
        k = self._checked_k(k, len(view.rows_of))
        mask = None if not where else self._text.matching(view, where)
        dimension = len(view.vector(next(iter(view.rows.values()))))
        if len(vector) != dimension:
            raise KBInputError(f"The vector has {len(vector)} numbers; those of {self.name!r} have {dimension}.")
        ranking = searcher.dense(self._text, view, unit_rows(np.asarray(vector, np.float32)), mask, max(DEPTH, k))
        return searcher.show(self.name, self._text, view, "", searcher.fuse({"dense": ranking}, k, self.modality))

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Documents by id, in that order, as they were added; unknown ids are left out."""
        ids = [ids] if isinstance(ids, str) else ids
        records = self._text.records([f"{doc}#0" for doc in dict.fromkeys(ids)])
        return [document_from(*records[f"{doc}#0"]) for doc in ids if f"{doc}#0" in records]

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents by id; how many there were."""
        return self._indexer.delete(ids)

    def count(self) -> int:
        """How many documents there are."""
        return len(self._text.view().rows_of)

    @property
    def revision(self) -> str:
        """Names what it holds: another after each change of its documents."""
        return f"{self._text.collection.id}/{self._text.view().revision}"

    def describe(self) -> Description:
        """Name, paragraph, price and size as they are now, whoever changed them."""
        view, header = self._text.view(), self._text.header
        self.description, self.cost_usd = str(header["kb:description"]), float(header["kb:cost_usd"])
        return Description(
            name=self.name,
            description=self.description,
            modality=self.modality,
            cost_usd=self.cost_usd,
            documents=len(view.rows_of),
            units=len(view.rows),
            embedding=self._embedding_name,
            image_embedding=None if self._image_embedder is None else self._image_embedder.name,
            location=self._text.store.location,
        )

    def update(self, *, description: str | None = None, cost_usd: float | None = None) -> None:
        """Change the paragraph that a policy reads, or the price of a search in USD."""
        if cost_usd is not None and not cost_usd >= 0:
            raise KBInputError(f"cost_usd is {cost_usd}; the price of a search is 0 or more USD.")
        self._text.store.acquire_writer()
        with self._text.store.writes:
            if description is not None:
                check_text("description", description)
                self._text.describe_as(**{"kb:description": description})
                self.description = description
            if cost_usd is not None:
                self._text.describe_as(**{"kb:cost_usd": float(cost_usd)})
                self.cost_usd = float(cost_usd)

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """The vector of each document's head, shape (len(ids), d), without embedding anything. Raises `KBInputError`
        for an unknown id."""
        view = self._text.view()
        unknown = [doc for doc in ids if f"{doc}#0" not in view.rows]
        if unknown:
            raise KBInputError(f"{self.name!r} holds no document {unknown[0]!r}.")
        return np.array([view.vector(view.rows[f"{doc}#0"]) for doc in ids], np.float32)

    def sources(self) -> dict[str, list[str]]:
        """The ids of the documents that came from each source (metadata `source`)."""
        found: dict[str, list[str]] = {}
        for unit, record in self._heads():
            if isinstance(source := record.get("source"), str):
                found.setdefault(source, []).append(unit.rpartition("#")[0])
        return found

    def documents(self) -> Iterator[Document]:
        """Every document, in the order of ids."""
        heads = sorted(f"{doc}#0" for doc in self._text.view().rows_of)
        for start in range(0, len(heads), _PAGE):
            records = self._text.records(heads[start : start + _PAGE])
            yield from (document_from(*records[head]) for head in heads[start : start + _PAGE] if head in records)

    def check(self) -> list[str]:
        """What is wrong, one sentence each; an empty list is a healthy knowledge base."""
        from kb_tools.health import problems

        return problems(self, self._text, self._visual)

    def sql(self, statement: str, *, max_rows: int = 200, timeout_s: float = 5.0) -> SQLResult:
        """Run one read-only SQL statement over the tables. Raises `SQLError` for what is refused."""
        return self.tables_database().query(statement, max_rows=max_rows, timeout_s=timeout_s)

    def cells(self, query: str, limit: int = 10) -> list[Cell]:
        """Distinct cell values that match a query, with their table and column."""
        return self.tables_database().cells(query, limit)

    def tables_database(self) -> TableDatabase:
        """The tables as a SQLite database, rebuilt when they have changed. Raises `KBInputError` if there are none."""
        from kb_tools.sql import TableDatabase

        if self.modality != "table":
            raise KBInputError(f"{self.name!r} holds {self.modality}; SQL needs a knowledge base of tables.")
        stamp = self.revision
        if self._tables is None:
            folder = self._text.store.cache / str(self._text.collection.id)
            folder.mkdir(parents=True, exist_ok=True)
            self._tables = TableDatabase(folder / "tables.sqlite")
        if self._tables.stamp != stamp:
            self._tables.build((d for d in self.documents() if isinstance(d, Table)), stamp)
        return self._tables

    def as_retriever(
        self, k: int = 5, *, where: Mapping[str, Any] | None = None, mode: Mode = "hybrid"
    ) -> BaseRetriever:
        """A LangChain retriever."""
        from kb_tools.tools import KBRetriever

        return KBRetriever(kb=self, k=k, where=None if where is None else dict(where), mode=mode)

    def as_tool(self, k: int = 5) -> BaseTool:
        """A LangChain tool that an LLM can choose by its description."""
        from kb_tools.tools import kb_tool

        return kb_tool(self, k=k)

    def as_sql_tool(self) -> BaseTool:
        """A LangChain tool for counts, sums and comparisons over the tables."""
        from kb_tools.tools import sql_tool

        return sql_tool(self)

    def as_vectorstore(self) -> VectorStore:
        """A LangChain vector store."""
        from kb_tools.tools import KBVectorStore

        return KBVectorStore(self)

    async def aadd(self, documents: Iterable[Document], *, on_batch: Callable[[int], None] | None = None) -> AddReport:
        """`add`, in a thread."""
        return await asyncio.to_thread(self.add, documents, on_batch=on_batch)

    async def asearch(
        self,
        query: str = "",
        k: int | None = None,
        *,
        where: Mapping[str, Any] | None = None,
        within: Sequence[str] | None = None,
        mode: Mode = "hybrid",
        image: bytes | str | Path | None = None,
    ) -> list[Hit]:
        """`search`, in a thread."""
        return await asyncio.to_thread(self.search, query, k, where=where, within=within, mode=mode, image=image)

    async def aget(self, ids: Sequence[str]) -> list[Document]:
        """`get`, in a thread."""
        return await asyncio.to_thread(self.get, ids)

    async def adelete(self, ids: Sequence[str]) -> int:
        """`delete`, in a thread."""
        return await asyncio.to_thread(self.delete, ids)

    async def acount(self) -> int:
        """`count`, in a thread."""
        return await asyncio.to_thread(self.count)

    async def adescribe(self) -> Description:
        """`describe`, in a thread."""
        return await asyncio.to_thread(self.describe)

    async def acheck(self) -> list[str]:
        """`check`, in a thread."""
        return await asyncio.to_thread(self.check)

    async def asql(self, statement: str, *, max_rows: int = 200, timeout_s: float = 5.0) -> SQLResult:
        """`sql`, in a thread."""
        return await asyncio.to_thread(self.sql, statement, max_rows=max_rows, timeout_s=timeout_s)

    def _checked_k(self, k: int | None, size: int) -> int:
        if size == 0:
            raise KBInputError(f"{self.name!r} holds no documents yet; add some first.")
        if k is None:
            return min(_FEW, size)
        if not 1 <= k <= size:
            held = "1 document; ask for that" if size == 1 else f"{size} documents; ask for 1 to {size}"
            raise KBInputError(f"k is {k}, but {self.name!r} holds {held}.")
        return k

    def _mask(
        self, view: View, where: Mapping[str, Any] | None, allowed: frozenset[str] | None
    ) -> NDArray[np.bool_] | None:
        """The rows that may be found; None for all."""
        mask = None if not where else self._text.matching(view, where)
        if allowed is None:
            return mask
        return searcher.within(view, allowed) if mask is None else mask & searcher.within(view, allowed)

    def _look(
        self,
        query: str,
        image: bytes | str | Path | None,
        where: Mapping[str, Any] | None,
        allowed: frozenset[str] | None,
        depth: int,
    ) -> searcher.Ranking | None:
        """The visual ranking: by a picture, or by text where the image embedding understands text."""
        if self._visual is None or self._image_embedder is None:
            if image is not None:
                raise KBInputError(
                    f"{self.name!r} holds {self.modality}; only a knowledge base of images can be searched by an image."
                )
            return None
        if image is not None:
            vectors: NDArray[np.float32] | None = self._image_embedder.embed_images([_bytes_of(image)])
        else:
            vectors = self._image_embedder.embed_texts([query]) if query.strip() else None
        if vectors is None:
            return None
        view = self._visual.view()
        mask = None if allowed is None else searcher.within(view, allowed)
        if where:
            # Filters speak of the documents' metadata, which the text space holds.
            text = self._text.view()
            matching = set(np.array(text.ids, object)[self._text.matching(text, where)])
            matched = np.array([unit in matching for unit in view.ids], bool)
            mask = matched if mask is None else mask & matched
        return searcher.dense(self._visual, view, vectors[0], mask, depth)

    def _heads(self) -> Iterator[tuple[str, dict[str, Any]]]:
        heads = sorted(f"{doc}#0" for doc in self._text.view().rows_of)
        for start in range(0, len(heads), 5_000):
            for unit, (_, record) in self._text.records(heads[start : start + 5_000], texts=False).items():
                yield unit, record

    def _vector(self, query: str) -> NDArray[np.float32]:
        return unit_rows(np.asarray(self.embedding.embed_query(query), np.float32))


def _bytes_of(image: bytes | str | Path) -> bytes:
    if isinstance(image, bytes):
        return image
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise KBInputError(
            f"The image {str(image)!r} cannot be read ({error.strerror}); give a picture's path."
        ) from error
