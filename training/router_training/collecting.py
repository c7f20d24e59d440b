"""Runs of a real graph, recorded anew with the policy as it has become."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from router_graph.settings_live import load_router
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.records import RunRecord

_AT_ONCE = 8


class Collecting:
    """Asks the questions of these runs again, each once a time, through the router of a file.

    What is asked goes in the order of the questions, `most` at a time, so that each comes round.
    """

    def __init__(self, router: str | Path, runs: Sequence[RunRecord], *, most: int = 64) -> None:
        self._router, self._most = router, most
        self._asked = list({run.question_id: run for run in runs}.values())

    def __call__(self, folder: Path, number: int) -> list[RunRecord]:
        """The runs of the policy of a folder, for the so-manieth time."""
        start = (number * self._most) % len(self._asked)
        asked = [*self._asked[start:], *self._asked[:start]][: self._most]
        with tempfile.TemporaryDirectory() as log:
            with load_router(self._router, policy=f"local:{folder}") as opened, Recorder(log, sync="never") as recorder:
                asyncio.run(_ask(opened.graph, asked, recorder))
            return list(read_runs(log))


async def _ask(graph: Any, asked: Sequence[RunRecord], recorder: Recorder) -> None:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(run: RunRecord) -> None:
        async with room:
            about = {**run.metadata, "question_id": run.question_id}
            await graph.ainvoke({"question": run.question}, config={"callbacks": [recorder], "metadata": about})

    await asyncio.gather(*(one(run) for run in asked))
