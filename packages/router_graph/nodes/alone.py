"""Routes without a policy: a knowledge base or a model as a single node of a graph of another make."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from router_graph.actions import Route, RouteToKB, RouteToLLM, action_as_dict
from router_graph.errors import SettingsError, UnknownModelError
from router_graph.nodes.begin import MET, context_of, read_question
from router_graph.nodes.node import Core
from router_graph.nodes.route_to_kb import route_to_kb
from router_graph.nodes.route_to_llm import route_to_llm
from router_graph.nodes.task import RouteTask
from router_graph.resources import Resources
from router_graph.state import Hit


async def search_alone(resources: Resources, state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
    """The route of a task; else the question, put to every knowledge base."""
    if _is_task(state):
        return await route_to_kb(resources, state, runtime)
    if not resources.knowledge:
        raise SettingsError("There is no knowledge base to search; give make_kb_node one.")
    question = _question(state)
    tasks = [
        _task(resources, state, runtime, RouteToKB(name, question), n) for n, name in enumerate(resources.knowledge)
    ]
    return _together(resources, await asyncio.gather(*(route_to_kb(resources, one, runtime) for one in tasks)), tasks)


def speak_alone(resources: Resources, model: str | None) -> Core:
    """The core of a node that asks `model`, or the cheapest. Raises `UnknownModelError`."""
    pool = resources.pool
    if pool is None or not pool.cards:
        raise UnknownModelError("There is no model to ask; give make_llm_node a pool with one.")
    if model is not None:
        pool.card(model)

    async def speak(resources: Resources, state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        if _is_task(state):
            return await route_to_llm(resources, state, runtime)
        options = [option for option in resources.menu() if option["key"].startswith("llm:")]
        name = model or min(options, key=lambda option: option["usd"])["key"].partition(":")[2]
        route = RouteToLLM(name, _question(state), evidence=bool(state.get("hits")))
        task = _task(resources, state, runtime, route, 0)
        update = _together(resources, [await route_to_llm(resources, task, runtime)], [task])
        del update["hits"]  # a model finds none, and those that it was shown are still wanted
        about = {MET: task["met"]}
        reply = AIMessage(update["observation"]["text"], id=f"{task['turn']}-reply", response_metadata=about)
        return {**update, "messages": [reply]}

    return speak


def _is_task(state: Mapping[str, Any]) -> bool:
    return "action" in state and "position" in state


def _question(state: Any) -> str:
    asked, _ = read_question(state)
    return asked["question"]


def _task(resources: Resources, state: Any, runtime: Runtime[Any], route: Route, position: int) -> RouteTask:
    turn = uuid.uuid4().hex
    hits: list[Hit] = list(state.get("hits") or ())
    return RouteTask(
        turn=turn,
        step=f"{turn}/1",
        number=1,
        position=position,
        action=action_as_dict(route),
        settings=resources.settings(context_of(runtime.context)),
        images=list(state.get("images") or ()),
        within=None,
        evidence=hits,
        met=sorted({hit["kb"] for hit in hits} | set(state.get("met") or ())),
        seconds_left=None,
        ledger={},
    )


def _together(resources: Resources, updates: list[dict[str, Any]], tasks: list[RouteTask]) -> dict[str, Any]:
    """One update of several routes; `observation` is the last one's."""
    observations = [
        update["steps"][0]["observations"][str(task["position"])] for update, task in zip(updates, tasks, strict=True)
    ]
    for task in tasks:
        resources.accounts.close(task["turn"])
    return {
        "hits": [hit for one in observations for hit in one["hits"]],
        "observation": observations[-1],
        "steps": [
            {**update["steps"][0], "actions": [task["action"]], "observations": {"0": observation}}
            for update, task, observation in zip(updates, tasks, observations, strict=True)
        ],
        "ledger": {key: entry for update in updates for key, entry in update["ledger"].items()},
        "met": sorted({name for update in updates for name in update.get("met", ())}),
    }
