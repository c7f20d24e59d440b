"""What a search returns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from kb_tools.documents import Modality

Mode = Literal["hybrid", "dense", "lexical"]
"""How to search: meaning and words fused, meaning alone, words alone."""

Source = Literal["dense", "lexical", "visual"]
"""What can find a document: its text embedding, its words (BM25), its pixels."""


class Hit(BaseModel):
    """One document that a search found, best first."""

    model_config = ConfigDict(frozen=True)

    kb: str
    doc_id: str
    title: str
    text: str
    """What a reader (or a prompt) should see: the passage or its best window; the table, whole if small, else its
    header and matching rows; an image's caption and words."""
    score: float
    """Fused score for `hybrid` (RRF: only the order means something), cosine for `dense`, BM25 for `lexical`."""
    modality: Modality
    found: dict[Source, int]
    """Which searches found it, and at which rank (from 1)."""
    metadata: dict[str, Any]
