"""Search a knowledge base. Whatever goes wrong becomes an observation that says so."""

from __future__ import annotations

import asyncio
from typing import Any

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from router_graph.actions import RouteToKB
from router_graph.budget import Amount
from router_graph.errors import BudgetExceededError
from router_graph.nodes.observing import Visit, sentence
from router_graph.nodes.task import RouteTask
from router_graph.resources import Resources
from router_graph.state import Observation


async def route_to_kb(resources: Resources, task: RouteTask, runtime: Runtime[Any]) -> dict[str, Any]:
    """One search; its hits, or what went wrong."""
    visit = Visit(resources, task, runtime)
    route = visit.route
    assert isinstance(route, RouteToKB)
    knowledge = resources.knowledge.get(route.kb)
    if knowledge is None:
        return visit.told(sentence("failed", f"There is no knowledge base {route.kb!r} any more."))
    reader = resources.policy(task["settings"]["policy"]).card
    if reason := resources.rules.against_kb(route.kb, reader):
        return visit.told(sentence("refused", f"{route.target} cannot be asked: {reason}."))
    if (declined := visit.ask_person(knowledge.cost_usd)) is not None:
        return visit.told(declined)
    most = Amount.of(usd=knowledge.cost_usd, calls=1)
    limit_s = knowledge.timeout_s if task["seconds_left"] is None else min(knowledge.timeout_s, task["seconds_left"])
    try:
        # What calls beside it hold at the most, they mostly do not take.
        key = await visit.tab.areserve(most, purpose="knowledge_base", name=route.kb, wait_s=limit_s)
    except BudgetExceededError as error:
        return visit.told(sentence("failed", str(error)))
    error_name: str | None = "interrupted"
    k = route.k or task["settings"]["k"]
    try:
        async with asyncio.timeout(limit_s):
            hits = await knowledge.search(route.query, k, images=task["images"], within=task["within"])
        error_name = None
    except TimeoutError:
        error_name = "TimeoutError"
        return visit.told(visit.failed(f"{route.kb!r} did not answer within {limit_s:.3g} s.", most))
    except (KeyboardInterrupt, SystemExit, GeneratorExit, GraphBubbleUp):
        raise  # the last is an interrupt of the knowledge base's own
    except BaseException as error:  # whatever a foreign knowledge base raises; its siblings' results must not be lost
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
        error_name = type(error).__name__
        told = visit.failed(f"{route.kb!r} failed: {str(error) or error_name}", most)
        return visit.told(told, met=[route.kb])  # an error may quote a document
    finally:
        # What it takes is what was reserved: a search that broke off may have been charged for as well.
        took = Amount(most.picousd, 0, 1, round(1000 * visit.seconds))
        visit.tab.settle(key, took, estimated=error_name is not None and most.picousd > 0, error=error_name)
    observation = Observation(
        status="ok" if hits else "empty",
        text="" if hits else f"Nothing was found in {route.kb!r}.",
        hits=hits,
        served=route.target,
        usd=knowledge.cost_usd,
        tokens=0,
        seconds=visit.seconds,
    )
    return visit.told(observation, met=[route.kb])


def _is_cancelled() -> bool:
    """Whether the run is cancelled, and not something inside of the knowledge base alone."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
