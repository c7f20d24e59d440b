"""What the pages have to know before anything else: the log, how far it is indexed, and what can be done with it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from router_graph.viewer.viewer import SOON_S, Viewer


def about(viewer: Viewer) -> dict[str, Any]:
    """As `api/about` tells it."""
    viewer.index.wake(SOON_S)
    with viewer.index.read() as db:
        runs = db.execute("SELECT count(*) FROM runs").fetchone()[0]
        policies = [one[0] for one in db.execute("SELECT DISTINCT policy FROM runs WHERE policy != '' ORDER BY policy")]
    return {
        "version": _version(),
        "log": str(viewer.log),
        "record": f'polyroute ask "…" --record {viewer.log}',
        "runs": runs,
        "indexing": indexing(viewer),
        "damaged": viewer.index.damaged,
        "problem": viewer.index.problem,
        "can": {"ask": False, "fork": False, "label": False},
        "policies": policies,
        "router": None,
        "mote": [],
        "fields": [],
    }


def indexing(viewer: Viewer) -> dict[str, float] | None:
    """How much of the log is indexed; None where all of it is."""
    share = viewer.index.share
    return None if share is None else {"share": round(share, 3)}


def _version() -> str:
    try:
        return version("polyroute")
    except PackageNotFoundError:
        return ""
