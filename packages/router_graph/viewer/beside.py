"""What lies beside a log and belongs to its runs: scores and labels, brought into the index as they are written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from router_graph.viewer import labels_beside, rewards_beside

Refresh = Callable[[sqlite3.Connection, Path], set[str]]
"""Called in the indexer's transaction with the folder that `rewards` and `labels` lie in: brings the tables `rewards`
and `labels` up to date, and tells which runs changed. What it remembers it keeps in a table of its own."""

BESIDE: list[Refresh] = [labels_beside.refresh, rewards_beside.refresh]
