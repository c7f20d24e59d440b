"""What the pages of a viewer share: the log, its index, and the router that asks and forks, where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from router_graph.trajectories.records import RunRecord
from router_graph.viewer.details import details_of
from router_graph.viewer.index import Index
from router_graph.viewer.listing import rows_named
from router_graph.viewer.problems import no_run

if TYPE_CHECKING:
    from router_graph.settings_live import Router

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

    def close(self) -> None:
        """Stop following the log."""
        self.index.close()

    def read(self, run: str) -> RunRecord:
        """The whole run. Raises `Problem` (404) where there is none, `LogError` where it cannot be read."""
        self.index.wake(SOON_S)
        record = self.index.record(run)
        if record is None:
            raise no_run(run)
        return record

    def row(self, run: str) -> dict[str, Any]:
        """The run's row in the table. Raises `Problem` (404)."""
        with self.index.read() as db:
            rows = rows_named(db, [run])
        if not rows:
            raise no_run(run)
        return rows[0]

    def details(self, run: str) -> dict[str, Any]:
        """All that the run's page shows. Raises `Problem`, `LogError`."""
        record = self.read(run)
        with self.index.read() as db:
            rows = rows_named(db, [run])
            return details_of(record, rows[0] if rows else {}, db, self._image_of)

    def _image_of(self, kb: str, doc_id: str) -> str | None:
        has_it = self.router is not None and any(one.name == kb for one in self.router.resources.knowledge.values())
        return f"api/images/{quote(kb, safe='')}/{quote(doc_id, safe='')}" if has_it else None
