"""Is a knowledge base whole? What `check` looks at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kb_tools.documents import Image
from kb_tools.units import UNITS

if TYPE_CHECKING:
    from kb_tools.knowledge_base import KnowledgeBase
    from kb_tools.space import Space

_PROBES = 50


def problems(kb: KnowledgeBase, text: Space, visual: Space | None) -> list[str]:
    """What is wrong, one sentence each: documents without all of their units, vectors that the index cannot
    find, pictures that are gone."""
    return [*_incomplete(text), *_unfindable(text), *_pictures(kb, text, visual)]


def _incomplete(text: Space) -> list[str]:
    view, found = text.view(), []
    heads = [f"{doc}#0" for doc in view.rows_of]
    records = text.records(heads, texts=False)
    for doc, rows in view.rows_of.items():
        head = records.get(f"{doc}#0")
        if head is None:
            found.append(f"{doc!r} has lost its head; delete it and add it again.")
        elif int(head[1].get(UNITS, 1)) != len(rows):
            found.append(
                f"{doc!r} has {len(rows)} of {head[1].get(UNITS)} units, as after a crash in the middle of an update; "
                "add it again."
            )
    return found


def _unfindable(text: Space) -> list[str]:
    """Chroma's own index must find a vector by itself; a folder that two programs wrote at once fails this."""
    view = text.view()
    rows = list(view.rows.values())
    probes = rows[:: max(1, len(rows) // _PROBES)][:_PROBES]
    if not probes:
        return []
    flat = np.concatenate([segment.vectors for segment in view.segments])
    with text.store.session():
        answer = text.collection.query(query_embeddings=flat[probes], n_results=1, include=["distances"])
    lost = sum(1 for row in (answer["distances"] or []) if not row or row[0] > 1e-3)
    if lost > 0.1 * len(probes):
        return [f"Chroma's index finds only {len(probes) - lost} of {len(probes)} vectors by themselves; rebuild it."]
    return []


def _pictures(kb: KnowledgeBase, text: Space, visual: Space | None) -> list[str]:
    if visual is None:
        return []
    seen = visual.view().rows
    found = [f"{doc!r} has no visual vector; add it again." for doc in text.view().rows_of if f"{doc}#0" not in seen]
    for document in kb.documents():
        if isinstance(document, Image) and document.data is None and not Path(document.path or "").is_file():
            found.append(f"The picture {document.path} of {document.id!r} is gone.")
    return found
