"""The NQ pool: where its recorded replies lie, and how files of this form are read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from router_graph.errors import RouterError
from router_graph.pool import ModelCard
from router_graph.pool.transports.replay import ReplayTransport

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POLYROUTE_DATA", ROOT.parent / "shared" / "data")) / "nq_pool"
UNIT = 1e-6
"""USD: Router-R1's unit, a completion token times USD per million."""


def need_data() -> None:
    """End with one sentence where the data is missing."""
    if not DATA.is_dir():
        sys.exit(f"This benchmark needs the NQ pool in {DATA}; set POLYROUTE_DATA to the folder that holds nq_pool/.")


def recorded(files: Sequence[Path]) -> tuple[list[dict[str, Any]], list[ModelCard], ReplayTransport]:
    """The rows, the cards of `models.jsonl` beside them, and what replays them. Raises `RouterError`."""
    transport = ReplayTransport.load(files)
    cards = transport.cards()
    if not cards:
        raise RouterError(f"Beside {files[0]} there is no models.jsonl; a row of it has a model and its price.")
    rows = []
    for file in files:
        with file.open(encoding="utf-8") as lines:
            rows += [json.loads(line) for line in lines if line.strip()]
    return rows, cards, transport
