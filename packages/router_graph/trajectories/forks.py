"""What a record says of a run that was forked from another; `router_graph.forking` makes them."""

from __future__ import annotations

from collections.abc import Mapping

from router_graph.trajectories.records import RunRecord

POLICY = "fork"
"""What decided at the step where a run was forked."""
FORKED_FROM = "forked_from"
"""In the metadata of a fork: `run`, `step` and `action`. Its steps before that one came from the log."""


def steps_taken_over(run: RunRecord) -> int:
    """How many of a run's first steps came from the log of another; 0 of a run that is no fork."""
    origin = run.metadata.get(FORKED_FROM)
    number = origin.get("step") if isinstance(origin, Mapping) else None
    return number - 1 if isinstance(number, int) else 0
