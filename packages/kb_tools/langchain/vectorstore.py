"""A knowledge base as a LangChain vector store."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from kb_tools.catalog import Catalog
from kb_tools.documents import Document as Stored
from kb_tools.documents import Passage, Table, render_table
from kb_tools.errors import KBInputError
from kb_tools.hits import Hit
from kb_tools.knowledge_base import KnowledgeBase


class KBVectorStore(VectorStore):
    """Adds passages to a knowledge base and finds them by their vectors alone; scores are cosines, higher is nearer.

    `KnowledgeBase.search` and `KBRetriever` find more: they read the words too. What is returned is the whole stored
    document, not the window that matched. `filter` is a Chroma filter on metadata. The async verbs run in a thread.
    """

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb
        self._catalog: Catalog | None = None

    def close(self) -> None:
        """Close the catalog that `from_texts` opened, and free its folder for other writers."""
        if self._catalog is not None:
            self._catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    @property
    def embeddings(self) -> Embeddings:
        """The embedding of the knowledge base."""
        return self.kb.embedding

    def add_documents(
        self, documents: list[Document], *, ids: Sequence[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """Add or replace passages; an id is taken from `ids`, else from the document, else made. Returns the ids.

        A text under "title" in the metadata becomes the title of the passage. Raises `KBInputError` where `ids` has
        another length than `documents`.
        """
        if ids is not None and len(ids) != len(documents):
            raise KBInputError(f"ids must be as many as documents: {len(ids)} ids, {len(documents)} documents.")
        passages = [
            Passage(
                id=given or document.id or str(uuid.uuid4()),
                title=_title(document.metadata),
                text=document.page_content,
                metadata=document.metadata,
            )
            for document, given in zip(documents, ids or [None] * len(documents), strict=True)
        ]
        if passages:
            self.kb.add(passages)
        return [passage.id for passage in passages]

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids, in their order; ids that are not there are left out."""
        return [as_document(stored) for stored in self.kb.get(ids)]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Remove documents; ids that are not there do no harm. Raises `KBInputError` without ids: to empty the
        knowledge base by accident is too easy, `Catalog.remove` does it on purpose."""
        if ids is None:
            raise KBInputError("delete needs ids; to remove the whole knowledge base, use Catalog.remove.")
        if ids:
            self.kb.delete(ids)
        return True

    def similarity_search(
        self, query: str, k: int = 4, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """The `k` nearest documents, best first."""
        return [found for found, _ in self.similarity_search_with_score(query, k, filter)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The `k` nearest documents with their cosine, best first."""
        return self.similarity_search_by_vector_with_score(self.embeddings.embed_query(query), k, filter)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """The `k` documents nearest to a vector of the embedding's length, best first."""
        return [found for found, _ in self.similarity_search_by_vector_with_score(embedding, k, filter)]

    def similarity_search_by_vector_with_score(
        self, embedding: list[float], k: int = 4, filter: dict[str, Any] | None = None
    ) -> list[tuple[Document, float]]:
        """The `k` documents nearest to a vector, with their cosine, best first."""
        hits = self._hits(embedding, k, filter)
        stored = {found.id: found for found in self.kb.get([hit.doc_id for hit in hits])}
        # A document that another process deleted since the search is left out.
        return [(as_document(stored[hit.doc_id]), hit.score) for hit in hits if hit.doc_id in stored]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """`k` of the `fetch_k` nearest documents, near to the query and far from each other (Carbonell & Goldstein
        1998); `lambda_mult` 1 is nearness alone, 0 is diversity alone."""
        vector = self.embeddings.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """The same, from a vector."""
        hits = self._hits(embedding, max(k, fetch_k), filter)
        vectors = self.kb.vectors([hit.doc_id for hit in hits])
        chosen = maximal_marginal_relevance(np.asarray(embedding), list(vectors), lambda_mult, k)
        return self.get_by_ids([hits[number].doc_id for number in chosen])

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        location: str | Path = "polyroute-kb",
        name: str = "langchain",
        description: str = "Passages that were added through LangChain.",
        **kwargs: Any,
    ) -> KBVectorStore:
        """Open or create the knowledge base `name` in the catalog at `location`, and add the texts to it.

        The catalog stays open until `close`, or the end of the `with` block.
        """
        catalog = Catalog(location, embedding=embedding)
        try:
            store = cls(catalog.create(name, description=description, exist_ok=True))
            store.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            catalog.close()
            raise
        store._catalog = catalog
        return store

    def _hits(self, vector: Sequence[float], k: int, where: dict[str, Any] | None) -> list[Hit]:
        size = self.kb.count()
        return self.kb.search_by_vector(vector, min(k, size), where=where) if size else []

    def _select_relevance_score_fn(self) -> Any:
        # LangChain wants 0 to 1; a cosine below 0 is as irrelevant as 0.
        return lambda cosine: min(1.0, max(0.0, cosine))


def as_document(stored: Stored) -> Document:
    """A stored document as LangChain's: a passage's text, a table as Markdown, an image's words."""
    metadata = stored.metadata if not stored.title else {"title": stored.title, **stored.metadata}
    if isinstance(stored, Passage):
        text = stored.text
    elif isinstance(stored, Table):
        text = render_table(stored.header, stored.rows)
    else:
        text = "\n".join(part for part in (stored.caption, stored.alt) if part)
    return Document(id=stored.id, page_content=text, metadata=metadata)


def _title(metadata: dict[str, Any]) -> str:
    title = metadata.get("title", "")
    return title if isinstance(title, str) else ""
