"""Two policies on the same questions: who was right where the other was not, and where they first went apart."""

from __future__ import annotations

import difflib
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from router_graph.viewer.alignment import Done, act, first_difference
from router_graph.viewer.listing import rows_named
from router_graph.viewer.problems import Problem

OUTCOMES = ("win", "loss", "tie", "unknown")
"""Of the first policy against the second, by the right answer; unknown where nobody knows it."""
_NEWEST = """
SELECT r.id, r.question_id, r.question, r.right, r.usd, max(r.at) AS at FROM runs r
WHERE r.policy = ? AND NOT r.is_fork AND r.status = 'ended' AND r.question_id != '' GROUP BY r.question_id
"""
"""SQLite gives the row that has the maximum."""
_PAIRS = f"""
WITH a AS MATERIALIZED ({_NEWEST}), b AS MATERIALIZED ({_NEWEST})
SELECT a.question_id, a.question, a.id AS a, b.id AS b, a.usd - b.usd AS usd,
    CASE WHEN a.right IS NULL OR b.right IS NULL THEN 'unknown' WHEN a.right > b.right THEN 'win'
        WHEN a.right < b.right THEN 'loss' ELSE 'tie' END AS outcome
FROM a JOIN b ON a.question_id = b.question_id ORDER BY max(a.at, b.at) DESC, a.question_id
"""


def compared(
    db: sqlite3.Connection,
    a: str,
    b: str,
    where: str = "1",
    values: Sequence[Any] = (),
    *,
    outcome: str = "",
    offset: int = 0,
    limit: int = 100,
) -> dict[str, Any]:
    """A page of pairs: of each question that both answered, the newest run of each that has ended. Forks do not count.

    `where` is about a run `r`: a pair is shown where it holds for one of its two. Raises `Problem`.
    """
    _check(db, a, b)
    if outcome and outcome not in OUTCOMES:
        raise Problem(400, f"There is no outcome {outcome[:40]!r}; there is {', '.join(OUTCOMES)}.")
    pairs = db.execute(_PAIRS, [a, b]).fetchall()
    if where != "1":
        fits = {
            row[0]
            for row in db.execute(f"SELECT r.id FROM runs r WHERE r.policy IN (?, ?) AND ({where})", [a, b, *values])
        }
        pairs = [one for one in pairs if one["a"] in fits or one["b"] in fits]
    counts = {name: sum(one["outcome"] == name for one in pairs) for name in OUTCOMES}
    chosen = [one for one in pairs if outcome in ("", one["outcome"])]
    found = chosen[offset : offset + limit]
    runs = {one["id"]: one for one in rows_named(db, [run for pair in found for run in (pair["a"], pair["b"])])}
    done = _done(db, runs)
    return {
        "a": a,
        "b": b,
        "counts": counts,
        "total": len(chosen),
        "usd": sum(one["usd"] for one in chosen),
        "offset": offset,
        "rows": [
            {
                **{name: pair[name] for name in ("question_id", "question", "outcome", "usd")},
                "a": runs[pair["a"]],
                "b": runs[pair["b"]],
                "first_difference": first_difference(done[pair["a"]], done[pair["b"]]),
            }
            for pair in found
        ],
    }


def _check(db: sqlite3.Connection, a: str, b: str) -> None:
    if a == b:
        raise Problem(400, f"Two policies are compared, and not {a[:80]!r} with itself.")
    known = [row[0] for row in db.execute("SELECT DISTINCT policy FROM runs WHERE policy != '' ORDER BY policy")]
    for one in (a, b):
        if one not in known:
            close = difflib.get_close_matches(one, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(known) or 'none'}."
            raise Problem(404, f"No run is of a policy {one[:80]!r}; {hint}")


def _done(db: sqlite3.Connection, runs: dict[str, dict[str, Any]]) -> dict[str, list[Done]]:
    """What each of these runs did at each step, by the index alone."""
    steps: dict[str, defaultdict[int, set[tuple[str, str]]]] = {run: defaultdict(set) for run in runs}
    marks = ", ".join("?" * len(runs))
    for row in db.execute(f"SELECT run, number, target, query FROM acts WHERE run IN ({marks})", list(runs)):
        of_step = steps[row["run"]][row["number"]]
        if row["target"] is not None:
            text = runs[row["run"]]["answer"] if row["target"] == "answer" else row["query"]
            of_step.add(act(row["target"], text or ""))
    return {run: [frozenset(one) for _, one in sorted(of.items())] for run, of in steps.items()}
