"""Lines of older schemas, brought to the one of today step by step: a log stays readable for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from router_graph.trajectories.records import SCHEMA, Line

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]

UPGRADES: dict[int, Upgrade] = {}
"""By the schema that they begin with: each makes a line of the next one. Schema 1 is the first that was written."""


def unreadable(schema: int, upgrades: Mapping[int, Upgrade] = UPGRADES, now: int = SCHEMA) -> str | None:
    """Why a line of this schema cannot be read, in a sentence; None where it can."""
    if schema > now:
        return f"it has schema {schema}, and this version knows up to {now}; update polyroute"
    if missing := [one for one in range(schema, now) if one not in upgrades]:
        return f"it has schema {schema}, and nothing is known of schema {missing[0]}"
    return None


def upgraded(line: Mapping[str, Any], upgrades: Mapping[int, Upgrade] = UPGRADES, now: int = SCHEMA) -> Line:
    """The line in the schema of today. `unreadable` says which can be."""
    new = dict(line)
    while new["v"] < now:
        schema = new["v"]
        new = {**upgrades[schema](new), "v": schema + 1}
    today: Line = new  # type: ignore[assignment]
    return today
