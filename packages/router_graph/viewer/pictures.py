"""The pictures of documents that were found: from the router's knowledge bases, as PNG of our own making."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from router_graph.viewer.problems import Problem

if TYPE_CHECKING:
    from router_graph.settings_live import Router

WIDEST = 1_024
"""Pixels of the longer side."""


def picture(router: Router | None, kb: str, doc_id: str) -> bytes:
    """The document's picture, as PNG. Raises `Problem` (404) where there is none, or it cannot be read."""
    found = None if router is None else router.resources.knowledge.get(kb)
    document = None if found is None else _document(found.base, doc_id)
    if document is None or not callable(getattr(document, "read", None)):
        raise Problem(404, "There is no such picture.")
    from kb_tools.errors import KBError
    from kb_tools.images import decode

    try:
        shown = decode(document.read())
    except (OSError, KBError):
        raise Problem(404, "This picture cannot be read.") from None
    shown.thumbnail((WIDEST, WIDEST))
    out = io.BytesIO()
    shown.save(out, "PNG")
    return out.getvalue()


def _document(base: Any, doc_id: str) -> Any | None:
    """Of a knowledge base that keeps its documents; others have no pictures to show."""
    get = getattr(base, "get", None)
    if not callable(get) or getattr(base, "modality", "") != "image":
        return None
    return next(iter(get([doc_id])), None)
