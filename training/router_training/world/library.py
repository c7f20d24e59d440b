"""A knowledge base in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Library:
    """Finds the documents that hold every word of the query, in their order. `texts` are by doc_id."""

    modality = "text"

    def __init__(self, name: str, description: str, texts: Mapping[str, str], *, cost_usd: float = 0.0) -> None:
        self.name, self.description, self.cost_usd = name, description, cost_usd
        self._texts = {key: (text, frozenset(text.split())) for key, text in texts.items()}

    async def asearch(self, query: str, k: int) -> Sequence[Mapping[str, Any]]:
        """The k first documents; none for a query without words."""
        wanted = frozenset(query.split())
        found = [(key, text) for key, (text, words) in self._texts.items() if wanted and wanted <= words]
        return [{"doc_id": key, "title": "", "text": text, "score": 1.0} for key, text in found[:k]]
