"""One turn of a thread, as a node sees it: who decides, what holds, what was spent, what may be chosen."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from langgraph.runtime import Runtime

from router_graph import limits
from router_graph.events import VERSION
from router_graph.ledger import Ledger
from router_graph.policies.policy import Policy
from router_graph.protocols.protocol import Protocol
from router_graph.resources import Resources
from router_graph.state import Left, RouterState, Step, StopReason
from router_graph.view import View

_NOBODY = Runtime().stream_writer
"""What LangGraph gives a node where nobody streams `custom`."""
PINNED = "the thread is pinned to "
"""How the reason begins why an option is masked that a thread's pin leaves out."""


class Turn:
    """Made of the state by each node anew; it holds nothing that the state does not."""

    def __init__(self, resources: Resources, state: RouterState, runtime: Runtime[Any]) -> None:
        self.resources = resources
        self.state = state
        self.id = state["turn"]
        self.settings: Mapping[str, Any] = state["settings"]
        self.steps: tuple[Step, ...] = tuple(state.get("steps", ()))
        self._write = runtime.stream_writer

    @property
    def is_heard(self) -> bool:
        """Whether anybody streams its events."""
        return self._write is not _NOBODY

    @cached_property
    def policy(self) -> Policy:
        """Who decides."""
        policy = self.resources.policy(self.settings["policy"])
        if not self.settings.get("explore"):
            return policy
        from router_graph.policies.explore import Exploring

        return Exploring(policy, self.settings["explore"])

    @cached_property
    def protocol(self) -> Protocol:
        """How it is spoken to."""
        return self.resources.protocol(self.policy.speaks or self.settings["protocol"])

    @cached_property
    def ledger(self) -> Ledger:
        """The account of the turn."""
        return account(self.resources, self.id, self.settings, self.state.get("ledger"))

    def tell(self, kind: str, **facts: Any) -> None:
        """Send an event to whoever streams."""
        tell(self._write, self.id, kind, **facts)

    def view(self, forced: StopReason | None = None) -> View:
        """What the policy sees now."""
        asked, menu = self.state["asked"], self.state["menu"]
        left = limits.left_of(self.settings, self.ledger, self.steps)
        reason = forced or limits.must_answer(self.settings, left, self.steps, self.state.get("remaining_steps"))
        masked = self._masked(left)
        reason = reason or limits.nobody_left(menu, masked)
        if reason is not None:
            masked |= {o["key"]: f"{limits.DUE} ({reason})" for o in menu if o["key"] not in ("answer", *masked)}
        return View(
            question=asked["question"],
            menu=tuple(menu),
            masked=masked,
            steps=self.steps,
            left=left,
            must_answer=reason,
            images=tuple(asked["images"]),
            earlier=tuple((role, text) for role, text in asked["earlier"]),
            seed=self.settings["seed"],
        )

    def replay_id(self, view: View) -> str:
        """Names what the policy sees: the id of the step before, what came of it, and what holds now."""
        if self.steps:
            last = self.steps[-1]
            before: object = [last["decision"]["replay_id"], last["actions"], last.get("observations")]
        else:
            before = [view.question, view.menu, view.images, view.earlier]
        who = [self.policy.name, self.policy.version, self.protocol.name, view.seed]
        seen = [before, who, dict(view.masked), view.left, view.must_answer]
        return hashlib.sha256(json.dumps(seen, sort_keys=True, default=str).encode()).hexdigest()[:24]

    def _masked(self, left: Left) -> dict[str, str]:
        settings, masked = self.settings, {}
        pin = settings["route"] or self.state.get("pin")
        for option in self.state["menu"]:
            key = option["key"]
            if key == "answer":
                continue
            kind, _, name = key.partition(":")
            reason = None
            if settings["only"] is not None and key not in settings["only"]:
                reason = "not among the options of this turn"
            elif key in settings["exclude"]:
                reason = "excluded from this turn"
            elif pin and key != pin:
                reason = f"this turn is pinned to {pin}" if settings["route"] else f"{PINNED}{pin}"
            else:
                reason = self._absent(kind, name) or self.forbidden(kind, name) or self._too_dear(option["usd"], left)
            if reason is not None:
                masked[key] = reason
        return masked

    def forbidden(self, kind: str, name: str) -> str | None:
        """Why an exclusion keeps this option from being asked, or None."""
        rules = self.resources.rules
        if kind == "llm":
            pool = self.resources.pool
            return None if pool is None else rules.against_model(pool.card(name), self.state.get("met", ()))
        return rules.against_kb(name, self.policy.card)

    def _absent(self, kind: str, name: str) -> str | None:
        if kind == "kb":
            return None if name in self.resources.knowledge else "it is not there any more"
        pool = self.resources.pool
        if pool is None or name not in pool.cards:
            return "it is not there any more"
        return "its last calls failed, and it rests" if pool.rests(name) else None

    @staticmethod
    def _too_dear(usd: float, left: Left) -> str | None:
        if left["usd"] is None or usd <= left["usd"]:
            return None
        return f"{limits.TOO_DEAR}: about ${usd:.2g} a call, and ${left['usd']:.2g} is left"


def account(resources: Resources, turn: str, settings: Mapping[str, Any], entries: Mapping[str, Any] | None) -> Ledger:
    """The live account of a turn: one for all branches, in whichever node."""
    if (live := resources.accounts.find(turn, entries=entries)) is not None:
        return live
    keeps_reserve = resources.policy(settings["policy"]).card is not None
    budget = limits.budget_of(settings, keeps_reserve=keeps_reserve)
    return resources.accounts.open(turn, budget, entries=entries)


def tell(write: Any, turn: str, kind: str, **facts: Any) -> None:
    """Send an event to whoever streams; `events` has their fields."""
    write({"v": VERSION, "type": kind, "turn": turn, "at": time.time(), **facts})
