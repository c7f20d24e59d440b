"""What comes of a route that was sampled in training: the search is made, the model is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from router_graph.actions import Route, RouteToKB
from router_graph.errors import RouterError
from router_graph.nodes.route_to_llm import ASKED, ASKED_WITH_EVIDENCE
from router_graph.pool.pool import ModelPool
from router_graph.protocols.text import render_hits
from router_graph.state import Observation
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_graph.view import View, linked_ids
from router_training.credit.searches import Searches
from router_training.rewards.facts import option_of


class Execute(Protocol):
    """Takes a route from the state before a step of a recorded run."""

    def __call__(self, run: RunRecord, number: int, route: Route) -> Awaitable[Observation]:
        """What came of it. Failures are observations too."""
        ...


class Executor:
    """Takes routes outside of a graph: on knowledge bases, each search once, and on a pool of models, each question
    once. What a search and a call cost is what the menu of the run said, so that prices can differ from run to run.
    """

    def __init__(self, searches: Searches, pool: ModelPool | None = None) -> None:
        self._searches, self._pool = searches, pool
        self._said: dict[tuple[str, str, str], tuple[str, str]] = {}

    async def __call__(self, run: RunRecord, number: int, route: Route) -> Observation:
        """What came of it."""
        view = view_at(run, number)
        if isinstance(route, RouteToKB):
            return await self._search(run, view, route)
        return await self._ask(run, view, route.model, route.query, evidence=route.evidence)

    async def _search(self, run: RunRecord, view: View, route: RouteToKB) -> Observation:
        k = route.k or run.settings.get("k") or 5
        within = linked_ids(view.steps, route.linked) if route.linked else None
        known = route.kb in self._searches.knowledge
        find = self._searches.search
        hits = await find(route.kb, route.query, k, images=view.images, within=within) if known else None
        told = _observation(run, route)
        if hits is None:
            return {**told, "status": "failed", "text": f"{route.kb!r} failed."}
        text = "" if hits else f"Nothing was found in {route.kb!r}."
        return {**told, "status": "ok" if hits else "empty", "text": text, "hits": hits}

    async def _ask(self, run: RunRecord, view: View, model: str, query: str, *, evidence: bool) -> Observation:
        told = _observation(run, _Target(f"llm:{model}"))
        shown = render_hits(view.evidence) if evidence and view.evidence else ""
        key = model, query, shown
        if key not in self._said:
            self._said[key] = await self._reply(model, query, shown)
        status, text = self._said[key]
        return {**told, "status": status, "text": text}  # type: ignore[typeddict-item]  # "ok", "empty" or "failed"

    async def _reply(self, model: str, query: str, shown: str) -> tuple[str, str]:
        if self._pool is None or model not in self._pool.cards:
            return "failed", f"There is no model {model!r} any more."
        asked = f"<information>\n{shown}\n</information>\n\nQuestion: {query}" if shown else query
        system = ASKED_WITH_EVIDENCE if shown else ASKED
        try:
            reply = await self._pool.ainvoke(model, [("system", system), ("human", asked)])
        except RouterError as error:
            return "failed", str(error)
        text = reply.text.strip()
        return ("ok", text) if text else ("empty", f"{reply.model!r} said nothing.")


class _Target:
    def __init__(self, target: str) -> None:
        self.target = target


def _observation(run: RunRecord, route: Any) -> Observation:
    option: Mapping[str, Any] | None = option_of(run, route.target)
    return Observation(
        status="ok",
        text="",
        hits=[],
        served=route.target,
        usd=option["usd"] if option else 0.0,
        tokens=0,
        seconds=0.0,
    )
