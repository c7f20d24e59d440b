"""What a route is sent with: as little as it needs, because a checkpoint holds it."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from router_graph.ledger import Entries
from router_graph.state import Hit, RouterState, Step
from router_graph.view import found, linked_ids


class RouteTask(TypedDict):
    """One route of a step."""

    turn: str
    step: str
    number: int
    position: int
    """Of the action in its step."""
    action: dict[str, Any]
    settings: dict[str, Any]
    images: list[str]
    within: list[str] | None
    """Ids of the only documents to search among."""
    evidence: list[Hit]
    """Documents to show to a model."""
    met: list[str]
    seconds_left: float | None
    ledger: Entries
    """What the turn has booked: a process that resumes it knows no more."""


def task_of(state: RouterState, step: Step, position: int) -> RouteTask:
    """The task of an action of the last step."""
    action = step["actions"][position]
    linked = action.get("linked")
    left = step["decision"]["left"]["seconds"]
    return RouteTask(
        turn=state["turn"],
        step=step["id"],
        number=step["number"],
        position=position,
        action=action,
        settings=state["settings"],
        images=state["asked"]["images"],
        within=linked_ids(state["steps"], linked) if linked else None,
        evidence=found(state["steps"]) if action.get("evidence") else [],
        met=list(state.get("met", ())),
        seconds_left=None if left is None else max(0.0, left - step["decision"]["seconds"]),
        ledger=state.get("ledger", {}),
    )
