"""Which documents an answer cites."""

from __future__ import annotations

import re
from collections.abc import Iterable

from router_graph.state import Citation, Hit


def mark(kb: str, doc_id: str) -> str:
    """How a document is cited: `[kb:doc_id]`."""
    return f"[{kb}:{doc_id}]"


def citations(answer: str, evidence: Iterable[Hit]) -> list[Citation]:
    """The documents that the answer cites, in its order. What was not found is not cited, whatever the answer says.

    Several in one pair of brackets count too, as in `[kb:one, kb:two]`.
    """
    found: list[tuple[int, Citation]] = []
    for hit in evidence:
        name = re.escape(f"{hit['kb']}:{hit['doc_id']}")
        place = re.search(rf"(?:\[|[,;]\s*){name}\s*(?=\]|[,;])", answer)
        if place is not None:
            found.append((place.start(), Citation(kb=hit["kb"], doc_id=hit["doc_id"], title=hit["title"])))
    return [citation for _, citation in sorted(found, key=lambda one: one[0])]
