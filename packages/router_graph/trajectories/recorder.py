"""Listens to graphs while they run, and writes down what happens: a callback handler of LangChain.

It reads what LangGraph tells every handler: what each node was given and gave back, and what each chat model was sent
and said. So our nodes do nothing for it, a graph that nobody records pays nothing, and a graph of another make is
recorded too, as the calls of its models.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from langchain_core.outputs import LLMResult

from router_graph.errors import SettingsError
from router_graph.trajectories.lines import Lines, one_sentence
from router_graph.trajectories.listening import Listener
from router_graph.trajectories.records import SCHEMA, Kind, Line
from router_graph.trajectories.redact import Secrets
from router_graph.trajectories.running import Asked, Chain
from router_graph.trajectories.writer import RunWriter

_logger = logging.getLogger(__name__)

_SECRETS = Secrets()


class Recorder(Listener):
    """Writes the runs of any graph into a folder, in one file for each process.

    graph.invoke({"question": …}, config={"callbacks": [Recorder("runs")], "metadata": {"question_id": "q7"}})

    One recorder serves any number of graphs, threads and event loops at once. What cannot be written never breaks the
    run: it is counted in `lost`, and said once. With `strict`, it raises. `redact` changes each text before it is
    written: what looks like a key or a password is taken out, unless you say otherwise. With None texts stay as they
    are, but for those of the caller's metadata and of errors. Raises `SettingsError` where the folder cannot be
    written.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        redact: Callable[[str], str] | None = _SECRETS,
        strict: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        self.raise_error = strict
        self.writer = RunWriter(folder, redact=redact, **options)
        self.lost = 0
        """Lines that could not be made or written."""
        self._lines = Lines(self._write)
        self._has_told = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. What comes later begins another."""
        self.writer.close()

    def ended(self, chain: Chain, outputs: Any) -> None:
        """As `Lines.ended`."""
        self._safely(lambda: self._lines.ended(chain, outputs))

    def failed(self, chain: Chain, error: BaseException) -> None:
        """As `Lines.failed`."""
        self._safely(lambda: self._lines.failed(chain, error))

    def called(self, asked: Asked, response: LLMResult | None, error: BaseException | None) -> None:
        """As `Lines.called`."""
        self._safely(lambda: self._lines.called(asked, response, error))

    def _write(self, kind: Kind, run: str, **facts: Any) -> None:
        line: Line = {"v": SCHEMA, "kind": kind, "run": run, "at": time.time(), **facts}  # type: ignore[typeddict-item]
        if not self.writer.write(line):
            self.lost += 1
            if self.raise_error:
                raise SettingsError(self.writer.problem)

    def _safely(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.lost += 1
            if self.raise_error:
                raise
            if not self._has_told:
                self._has_told = True
                _logger.warning("A run could not be recorded (%s); it goes on.", one_sentence(error))
