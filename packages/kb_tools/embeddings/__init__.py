"""Text → vectors: the default embedding, and what a collection remembers of whichever made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings


def fingerprint(embedding: Embeddings) -> str:
    """A name for an embedding that stays the same between processes: a collection made with one refuses another.

    Taken from an attribute `fingerprint` where there is one, else from the class and its `model` or `model_name`.
    """
    own = getattr(embedding, "fingerprint", None)
    if isinstance(own, str):
        return own
    model = getattr(embedding, "model", None) or getattr(embedding, "model_name", None)
    kind = type(embedding)
    return f"{kind.__module__}.{kind.__qualname__}" + (f":{model}" if isinstance(model, str) else "")
