"""Knowledge bases on Chroma: documents, tables and pictures that find the right thing, with no key and no server.

from kb_tools import Catalog, Passage

with Catalog("my-knowledge") as catalog:
    handbook = catalog.create("handbook", description="The staff handbook.", exist_ok=True)
    handbook.add([Passage(id="leave", title="Leave", text="Everybody has 30 days of leave a year.")])
    print(handbook.search("How many days off do I get?")[0].text)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kb_tools.catalog import Catalog
    from kb_tools.documents import Document, Image, Passage, Table
    from kb_tools.errors import (
        EmbeddingMismatchError,
        KBError,
        KBExistsError,
        KBFormatError,
        KBInputError,
        KBLockedError,
        KBStorageError,
        MissingExtraError,
        SQLError,
        UnknownKBError,
        UnreadableFileError,
    )
    from kb_tools.hits import Hit
    from kb_tools.indexer import AddReport
    from kb_tools.knowledge_base import Description, KnowledgeBase

_HOME = {
    "AddReport": "kb_tools.indexer",
    "Catalog": "kb_tools.catalog",
    "Description": "kb_tools.knowledge_base",
    "Document": "kb_tools.documents",
    "EmbeddingMismatchError": "kb_tools.errors",
    "Hit": "kb_tools.hits",
    "Image": "kb_tools.documents",
    "KBError": "kb_tools.errors",
    "KBExistsError": "kb_tools.errors",
    "KBFormatError": "kb_tools.errors",
    "KBInputError": "kb_tools.errors",
    "KBLockedError": "kb_tools.errors",
    "KBStorageError": "kb_tools.errors",
    "KnowledgeBase": "kb_tools.knowledge_base",
    "MissingExtraError": "kb_tools.errors",
    "Passage": "kb_tools.documents",
    "SQLError": "kb_tools.errors",
    "Table": "kb_tools.documents",
    "UnknownKBError": "kb_tools.errors",
    "UnreadableFileError": "kb_tools.errors",
}

__all__ = [
    "AddReport",
    "Catalog",
    "Description",
    "Document",
    "EmbeddingMismatchError",
    "Hit",
    "Image",
    "KBError",
    "KBExistsError",
    "KBFormatError",
    "KBInputError",
    "KBLockedError",
    "KBStorageError",
    "KnowledgeBase",
    "MissingExtraError",
    "Passage",
    "SQLError",
    "Table",
    "UnknownKBError",
    "UnreadableFileError",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that importing the package stays cheap.
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'kb_tools' has no attribute {name!r}")
