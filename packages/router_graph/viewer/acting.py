"""What can be done in the pages: ask a question, fork a step, answer a run that waits, compare, and label."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from router_graph.context_form import context_form
from router_graph.trajectories.labels import LabelWriter
from router_graph.viewer import asking, labelling
from router_graph.viewer.alignment import aligned, done_in, first_difference
from router_graph.viewer.bodies import answer, body_of, whole_number
from router_graph.viewer.comparing import compared
from router_graph.viewer.filters import where
from router_graph.viewer.listing import MOST
from router_graph.viewer.viewer import SOON_S, Viewer


def can(viewer: Viewer) -> dict[str, bool]:
    """What of it can be done with this log."""
    has_router = viewer.router is not None
    return {"ask": has_router and viewer.recording.takes_questions, "fork": has_router, "label": True}


def router_facts(viewer: Viewer) -> dict[str, Any] | None:
    """What a question can be asked with: policies, the menu, what holds where a question does not say, and the form."""
    if viewer.router is None:
        return None
    resources = viewer.router.resources
    return {
        "policies": list(dict.fromkeys([resources.defaults["policy"], *resources.policy_names()])),
        "menu": resources.menu(),
        "defaults": resources.defaults,
        "schema": context_form(resources).model_json_schema(),
    }


def routes(viewer: Viewer) -> list[BaseRoute]:
    """The addresses, below `/api`."""
    writer = LabelWriter(viewer.beside)

    async def ask(request: Request) -> dict[str, Any]:
        told = await body_of(request, ("question", "context"))
        return {"run": await asking.ask(viewer, told.get("question"), told.get("context"))}

    async def fork(request: Request) -> dict[str, Any]:
        told = await body_of(request, ("step", "action"))
        return await asking.fork(viewer, request.path_params["id"], told.get("step"), told.get("action"))

    async def resume(request: Request) -> dict[str, Any]:
        told = await body_of(request, ("approve", "reason", "interrupt"))
        said = told.get("approve"), told.get("reason", ""), told.get("interrupt")
        return await asking.resume(viewer, request.path_params["id"], *said)

    async def waiting(_: Request) -> dict[str, Any]:
        return {"running": viewer.under_way.running, "waiting": viewer.under_way.waiting}

    async def label(request: Request) -> dict[str, Any]:
        place = request.path_params["id"], request.path_params["number"]
        if request.method == "DELETE":
            return await run_in_threadpool(labelling.take_back, viewer, writer, *place)
        told = await body_of(request, ("verdict", "better", "note"))
        return await run_in_threadpool(labelling.label, viewer, writer, *place, told)

    async def compare(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(_compared, viewer, dict(request.query_params))

    async def versus(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(_versus, viewer, request.path_params["id"], request.path_params["other"])

    return [
        Route("/ask", _answered(ask), methods=["POST"]),
        Route("/waiting", _answered(waiting)),
        Route("/compare", _answered(compare)),
        Route("/runs/{id}/fork", _answered(fork), methods=["POST"]),
        Route("/runs/{id}/resume", _answered(resume), methods=["POST"]),
        Route("/runs/{id}/versus/{other}", _answered(versus)),
        Route("/runs/{id}/steps/{number:int}/label", _answered(label), methods=["POST", "DELETE"]),
    ]


def _answered(act: Callable[[Request], Awaitable[dict[str, Any]]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return answer(await act(request))

    return endpoint


def _compared(viewer: Viewer, given: dict[str, str]) -> dict[str, Any]:
    viewer.index.wake(SOON_S)
    condition, values = where(given.get("filter", ""))
    offset, limit = (whole_number(given.get(name, str(none)), name) for name, none in (("offset", 0), ("limit", 100)))
    with viewer.index.read() as db:
        return compared(
            db,
            given.get("a", ""),
            given.get("b", ""),
            condition,
            values,
            outcome=given.get("outcome", ""),
            offset=offset,
            limit=min(limit, MOST),
        )


def _versus(viewer: Viewer, one: str, other: str) -> dict[str, Any]:
    a, b = (done_in(viewer.read(run)) for run in (one, other))
    return {"first_difference": first_difference(a, b), "pairs": aligned(a, b)}
