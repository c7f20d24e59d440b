"""What is read beside the table and the runs: news, one run as a file, saved views, heat maps, pictures."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from router_graph.viewer import saved_views
from router_graph.viewer.bodies import answer, body_of
from router_graph.viewer.heat_maps import heat_map, tables_in
from router_graph.viewer.live import events, leave_in_time
from router_graph.viewer.pictures import picture
from router_graph.viewer.viewer import Viewer


def routes(viewer: Viewer) -> list[BaseRoute]:
    """The addresses, below `/api`."""

    async def live(_: Request) -> Response:
        leave_in_time(viewer.index)
        return StreamingResponse(events(viewer), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    def export(request: Request) -> Response:
        run = request.path_params["id"]
        page = viewer.page_of(run)
        name = "".join(one for one in run if one.isascii() and one.isalnum())[:40] or "run"
        headers = {"content-disposition": f'attachment; filename="polyroute-{name}.html"'}
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)

    def views(_: Request) -> Response:
        return answer(saved_views.views_in(viewer.beside))

    async def view(request: Request) -> Response:
        name = request.path_params["name"]
        if request.method == "DELETE":
            await run_in_threadpool(saved_views.forget, viewer.beside, name)
            return Response(status_code=204)
        given = await body_of(request, ("name", "filter", "sort"))
        return answer(await run_in_threadpool(saved_views.keep, viewer.beside, name, given))

    def tables(_: Request) -> Response:
        return answer(sorted(tables_in(viewer.mote)))

    def table(request: Request) -> Response:
        return answer(heat_map(viewer.mote, request.path_params["name"]))

    def image(request: Request) -> Response:
        params = request.path_params
        return Response(picture(viewer.router, params["kb"], params["doc_id"]), media_type="image/png")

    return [
        Route("/live", live),
        Route("/runs/{id}/export", export),
        Route("/views", views),
        Route("/views/{name}", view, methods=["PUT", "DELETE"]),
        Route("/mote", tables),
        Route("/mote/{name}", table),
        Route("/images/{kb}/{doc_id:path}", image),
    ]
