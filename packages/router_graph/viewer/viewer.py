"""What the pages of a viewer share: the log, its index, and the router that asks and forks, where there is one."""

from __future__ import annotations

import base64
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.shards import LogError
from router_graph.viewer import schema
from router_graph.viewer.beside import BESIDE
from router_graph.viewer.details import details_of
from router_graph.viewer.index import Index
from router_graph.viewer.listing import rows_named
from router_graph.viewer.one_file import about_export, one_file
from router_graph.viewer.pictures import picture
from router_graph.viewer.problems import Problem, no_run
from router_graph.viewer.recording import Recording
from router_graph.viewer.summary import summary_of
from router_graph.viewer.taking import keep
from router_graph.viewer.under_way import UnderWay

if TYPE_CHECKING:
    from router_graph.settings_live import Router

_logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
SOON_S = 0.05
"""How long a request waits for what was written just now."""


class Viewer:
    """Of one log. Close it at the end."""

    def __init__(
        self,
        log: str | Path,
        *,
        router: Router | None = None,
        mote: str | Path | None = None,
        cache: Path | None = None,
    ) -> None:
        self.log, self.router = Path(log), router
        self.mote = None if mote is None else Path(mote)
        """A folder of tables of experts, as `polyroute mote profile --out` writes them."""
        self.index = Index(log, cache=cache)
        self.beside = self.index.beside
        """The folder in which `forks`, `labels` and `rewards` lie."""
        self.recording = Recording(self.log, self.beside, router)
        self.under_way = UnderWay(tell=self.index.tell)

    def close(self) -> None:
        """Cancel what was begun here, and stop following the log."""
        self.under_way.close()
        self.recording.close()
        self.index.close()

    def read(self, run: str) -> RunRecord:
        """The whole run. Raises `Problem` (404) where there is none, `LogError` where it cannot be read."""
        self.index.wake(SOON_S)
        record = self.index.record(run)
        if record is None:
            raise no_run(run)
        return record

    def details(self, run: str, *, inline: bool = False) -> dict[str, Any]:
        """All that the run's page shows, with its pictures in it or their addresses. Raises `Problem`, `LogError`."""
        record = self.read(run)
        with self.index.read() as db:
            rows = rows_named(db, [run])
            image_of = self._inlined if inline else self._image_of
            try:
                details = details_of(record, rows[0] if rows else {}, db, image_of)
            except (KeyError, TypeError, ValueError, AttributeError) as error:  # another program wrote the log
                _logger.warning("The run %s cannot be shown.", run, exc_info=True)
                raise LogError(f"The run {run} cannot be shown ({type(error).__name__}: {error}).") from None
        return {**details, "waiting": self.under_way.waiting.get(run, [])}

    def page_of(self, run: str) -> str:
        """The run's page as one HTML file, without secrets. Raises `Problem`, `LogError`."""
        return one_file(STATIC, about_export(), self.details(run, inline=True))

    def _image_of(self, kb: str, doc_id: str) -> str | None:
        has_it = self.router is not None and kb in self.router.resources.knowledge
        return f"api/images/{quote(kb, safe='')}/{quote(doc_id, safe='')}" if has_it else None

    def _inlined(self, kb: str, doc_id: str) -> str | None:
        try:
            return f"data:image/png;base64,{base64.b64encode(picture(self.router, kb, doc_id)).decode()}"
        except Problem:
            return None


def page_of_record(run: RunRecord, log: Path) -> str:
    """The page of a run of a log as one HTML file, without the log's index. Its scores and labels are in it."""
    with contextlib.closing(schema.connect(":memory:")) as db:
        schema.create(db)
        keep(db, summary_of(run, run.ended_at or run.at, is_fork=False))
        for refresh in BESIDE:
            refresh(db, log.parent if log.is_file() else log)
        details = details_of(run, rows_named(db, [run.run_id])[0], db, lambda kb, doc_id: None)
    return one_file(STATIC, about_export(), details)
