"""A knowledge base as a LangChain retriever."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from kb_tools.hits import Hit, Mode
from kb_tools.knowledge_base import KnowledgeBase
from kb_tools.langchain.calling import search_up_to


class KBRetriever(BaseRetriever):
    """Searches one knowledge base; `k`, `where` and `mode` can be given again in each `invoke`.

    The metadata of a returned document is that of the stored one, and where it came from: `kb`, `doc_id`, `title`,
    `score`, `modality` and `found` (which search found it, at which rank). Raises `KBInputError` for an empty query,
    a k below 1 and a filter that Chroma refuses.
    """

    kb: KnowledgeBase
    k: int = 5
    """How many documents to return; fewer where the knowledge base holds fewer."""
    where: dict[str, Any] | None = None
    """A Chroma filter on metadata, such as `{"year": {"$gte": 2020}}`."""
    mode: Mode = "hybrid"

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **changed: Any
    ) -> list[Document]:
        return [as_document(hit) for hit in search_up_to(self.kb, query, **self._settings(changed))]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **changed: Any
    ) -> list[Document]:
        hits = await asyncio.to_thread(search_up_to, self.kb, query, **self._settings(changed))
        return [as_document(hit) for hit in hits]

    def _settings(self, changed: dict[str, Any]) -> dict[str, Any]:
        return {"k": self.k, "where": self.where, "mode": self.mode, **changed}


def as_document(hit: Hit) -> Document:
    """A hit as a LangChain document; its provenance wins over metadata of the same name."""
    provenance = hit.model_dump(exclude={"text", "metadata"})
    return Document(id=hit.doc_id, page_content=hit.text, metadata={**hit.metadata, **provenance})
