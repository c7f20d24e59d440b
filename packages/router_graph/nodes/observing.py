"""What both kinds of routes share: whether they may be taken, whether a person agrees, how the result is told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from router_graph.actions import Route, action_from_dict
from router_graph.budget import Amount
from router_graph.nodes.task import RouteTask
from router_graph.resources import Resources
from router_graph.state import Observation, Status, Step
from router_graph.tab import Tab
from router_graph.turn import account, tell

_YES = ("yes", "y", "ok", "approve", "approved", "true")


class Visit:
    """One route being taken."""

    def __init__(self, resources: Resources, task: RouteTask, runtime: Runtime[Any]) -> None:
        self.task = task
        self.tab = Tab(account(resources, task["turn"], task["settings"], task["ledger"]))
        action = action_from_dict(task["action"])
        assert action.kind in ("kb", "llm")
        self.route: Route = action
        self._started = time.perf_counter()
        self._write = runtime.stream_writer

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self._started

    def ask_person(self, most_usd: float) -> Observation | None:
        """Where the call may cost more than the turn allows unasked, wait for a person; an observation if they decline.

        Resumed with true, "yes" or {"approve": true} the call is made; with anything else it is not, and the policy
        reads what they said.
        """
        limit = self.task["settings"]["ask_above_usd"]
        if limit is None or most_usd <= limit:
            return None
        said = interrupt(
            {
                "kind": "approve_call",
                "target": self.route.target,
                "query": self.route.query,
                "usd_at_most": most_usd,
                "step": self.task["number"],
            }
        )
        self._started = time.perf_counter()  # waiting for a person is not the route's time
        approved, reason = _understood(said)
        return None if approved else sentence("declined", f"A person declined this call{reason}.")

    def told(self, observation: Observation, met: list[str] | None = None) -> dict[str, Any]:
        """The update of the state, and the event."""
        task = self.task
        tell(
            self._write,
            task["turn"],
            "observation",
            number=task["number"],
            action=task["position"],
            target=self.route.target,
            query=self.route.query,
            observation=observation,
        )
        observations = {str(task["position"]): observation}
        step = Step(id=task["step"], number=task["number"], observations=observations)
        return {"steps": [step], "ledger": self.tab.entries, **({"met": met} if met else {})}

    def failed(self, what: str, took: Amount | None = None) -> Observation:
        """An observation of a failure, with what it took: what was booked so far, if it is not said."""
        spent = took or self.tab.spent
        failure = sentence("failed", what, seconds=self.seconds)
        return {**failure, "usd": spent.usd, "tokens": spent.tokens}


def sentence(status: Status, text: str, *, seconds: float = 0.0) -> Observation:
    """An observation that is a sentence."""
    return Observation(status=status, text=text, hits=[], served="", usd=0.0, tokens=0, seconds=seconds)


def _understood(said: object) -> tuple[bool, str]:
    if isinstance(said, Mapping):
        reason = said.get("reason")
        return _understood(said.get("approve", said.get("approved")))[0], f": {reason}" if reason else ""
    if isinstance(said, str):
        return said.strip().lower() in _YES, f": {said}" if said.strip().lower() not in ("no", "n", "") else ""
    return said is True, ""
