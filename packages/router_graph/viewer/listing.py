"""A page of the table of runs."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from router_graph.viewer.problems import Problem

SORTS = ("at", "usd", "tokens", "seconds", "steps", "reward", "question", "policy")
MOST = 500
"""Rows of a page."""
_LIVE_S = 30.0
"""An open run that grew in so many seconds is under way."""
_OWN = (
    "id at question answer status stop_reason policy protocol steps usd tokens seconds right thread question_id"
).split()
REWARD = "(SELECT value FROM rewards w WHERE w.run = r.id AND w.step = 0 ORDER BY made DESC, name LIMIT 1)"
"""Of a run `r`: the reward that was computed last."""
_SELECT = f"""
SELECT r.*, {REWARD} AS reward, (SELECT count(*) FROM labels l WHERE l.run = r.id) AS labels,
    (SELECT count(*) FROM runs f WHERE f.forked_run = r.id) AS forks
"""


def page(
    db: sqlite3.Connection, where: str, values: Sequence[Any], *, sort: str = "-at", offset: int = 0, limit: int = 100
) -> tuple[int, list[dict[str, Any]]]:
    """How many runs `where` holds for (of a run `r`), and the rows of a page of them."""
    field = sort.removeprefix("-")
    if field not in SORTS:
        raise Problem(400, f"Runs are not sorted by {field[:40]!r}; use {', '.join(SORTS)}, with - for descending.")
    way = "DESC" if sort.startswith("-") else "ASC"
    by = REWARD if field == "reward" else f"r.{field}"
    total = db.execute(f"SELECT count(*) FROM runs r WHERE {where}", values).fetchone()[0]
    chosen = f"SELECT r.* FROM runs r WHERE {where} ORDER BY {by} {way} NULLS LAST, r.id {way} LIMIT ? OFFSET ?"
    order = f"ORDER BY {'reward' if field == 'reward' else by} {way} NULLS LAST, r.id {way}"
    rows = db.execute(f"{_SELECT} FROM ({chosen}) r {order}", [*values, limit, offset]).fetchall()
    return total, [row_of(one) for one in rows]


def rows_named(db: sqlite3.Connection, runs: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of these runs, in their order; those that there are not are left out."""
    marks = ", ".join("?" * len(runs))
    found = {one["id"]: row_of(one) for one in db.execute(f"{_SELECT} FROM runs r WHERE r.id IN ({marks})", runs)}
    return [found[run] for run in runs if run in found]


def row_of(row: sqlite3.Row) -> dict[str, Any]:
    """A row as JSON has it. `path` is what was asked, in order; `live`: it is under way, and grew just now."""
    forked = None if row["forked_run"] is None else {"run": row["forked_run"], "step": row["forked_step"]}
    return {
        **{name: row[name] for name in _OWN},
        "right": None if row["right"] is None else bool(row["right"]),
        "reward": row["reward"],
        "labels": row["labels"],
        "forks": row["forks"],
        "forked_from": forked,
        "path": json.loads(row["path"]),
        "live": row["status"] == "open" and time.time() - row["grown"] < _LIVE_S,
    }
