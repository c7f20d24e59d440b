"""Exact vector search: every vector, in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kb_tools.search.snapshot import View


def cosine(view: View, vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine of a unit vector (d,) with every row: shape (rows,). Dead rows get a score too; the caller masks them."""
    parts = [segment.vectors @ vector for segment in view.segments]
    return parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty(0, np.float32)])
