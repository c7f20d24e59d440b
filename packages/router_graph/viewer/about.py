"""What the pages have to know before anything else: the log, how far it is indexed, and what can be done with it."""

from __future__ import annotations

import shlex
import sqlite3
from typing import Any

from router_graph.viewer.acting import can, router_facts
from router_graph.viewer.filter_fields import FIELDS, Field
from router_graph.viewer.heat_maps import tables_in
from router_graph.viewer.one_file import version_here
from router_graph.viewer.viewer import SOON_S, Viewer

_COMPLETED = (
    "status",
    "stop",
    "policy",
    "protocol",
    "step.kb",
    "step.llm",
    "step.target",
    "step.status",
    "step.forced",
)
_MOST_VALUES = 30


def about(viewer: Viewer) -> dict[str, Any]:
    """As `api/about` tells it."""
    viewer.index.wake(SOON_S)
    with viewer.index.read() as db:
        runs = db.execute("SELECT count(*) FROM runs").fetchone()[0]
        values = {name: {"values": _values(db, FIELDS[name])} for name in _COMPLETED}
        policies = [one[0] for one in db.execute("SELECT DISTINCT policy FROM runs WHERE policy != '' ORDER BY policy")]
    return {
        "version": version_here(),
        "log": str(viewer.log),
        "record": f'polyroute ask "…" --record {shlex.quote(str(viewer.log))}',
        "runs": runs,
        "indexing": indexing(viewer),
        "damaged": viewer.index.damaged,
        "problem": viewer.index.problem,
        "can": can(viewer),
        "policies": policies,
        "router": router_facts(viewer),
        "mote": sorted(tables_in(viewer.mote)),
        "fields": [
            {"name": one.name, "of": one.of, "kind": one.kind, "help": one.help} | values.get(one.name, {})
            for one in FIELDS.values()
        ],
    }


def _values(db: sqlite3.Connection, field: Field) -> list[str]:
    """What a field is filled in with, the most frequent first."""
    table = "runs r" if field.of == "run" else "acts a"
    return [
        one[0]
        for one in db.execute(
            f"SELECT {field.column} v FROM {table} WHERE v != '' GROUP BY v ORDER BY count(*) DESC LIMIT {_MOST_VALUES}"
        )
    ]


def indexing(viewer: Viewer) -> dict[str, float] | None:
    """How much of the log is indexed; None where all of it is."""
    share = viewer.index.share
    return None if share is None else {"share": round(share, 3)}
