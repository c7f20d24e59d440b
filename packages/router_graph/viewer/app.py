"""The viewer as an ASGI application, to be served on its own or mounted anywhere: all its links are relative."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from mote_backend.serving.guard import LOOPBACK, Guard
from router_graph.errors import RouterError
from router_graph.viewer import about, acting, reading
from router_graph.viewer.bodies import answer, whole_number
from router_graph.viewer.borders import HEADERS, Headers, OnlyOurs
from router_graph.viewer.bundle import parts_of, with_parts
from router_graph.viewer.filters import where
from router_graph.viewer.listing import MOST, page
from router_graph.viewer.problems import Problem
from router_graph.viewer.viewer import SOON_S, STATIC, Viewer

if TYPE_CHECKING:
    from router_graph.settings_live import Router


def viewer_app(
    log: str | Path,
    *,
    router: Router | None = None,
    mote: str | Path | None = None,
    token: str | None = None,
    hosts: Collection[str] | None = LOOPBACK,
    origins: Collection[str] = (),
    cache: Path | None = None,
) -> Starlette:
    """The pages of the log of runs in a folder, which may grow meanwhile and need not be there yet.

    With `router`, questions can be asked and steps forked. `mote` is a folder of tables of experts. `token` is wanted
    with each request of data; `hosts` are the names that the server may be asked under, None for any, which is safe
    with a token alone; `origins` are other web pages that may ask. `cache` is the file of the index, by default in the
    user's cache. The index is closed with the lifespan of the application, or by `app.state.viewer.close()`.
    """
    viewer = Viewer(log, router=router, mote=mote, cache=cache)
    own: dict[str, Any] = {"hosts": hosts, "origins": origins, "own_pages": True}

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        viewer.index.wake()
        yield
        viewer.close()

    api = Mount(
        "/api",
        routes=_routes(viewer),
        middleware=[Middleware(Guard, token=token or None, **own), Middleware(OnlyOurs)],
    )
    app = Starlette(
        routes=[Route("/", _index), Route("/static/{name}", _static), api],
        middleware=[Middleware(Headers), Middleware(Guard, token=None, **own)],
        exception_handlers={HTTPException: _failed, RouterError: _failed, Exception: _broke},
        lifespan=lifespan,
    )
    app.state.viewer = viewer
    return app


def _routes(viewer: Viewer) -> list[BaseRoute]:
    def got(make: Callable[[Request], Any]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:  # not async: Starlette runs it in a thread
            return answer(make(request))

        return endpoint

    def runs(request: Request) -> dict[str, Any]:
        viewer.index.wake(SOON_S)
        given = request.query_params
        offset, limit = (
            whole_number(given.get("offset", "0"), "offset"),
            whole_number(given.get("limit", "100"), "limit"),
        )
        condition, values = where(given.get("filter", ""))
        with viewer.index.read() as db:
            total, rows = page(
                db, condition, values, sort=given.get("sort") or "-at", offset=offset, limit=min(limit, MOST)
            )
        return {"total": total, "offset": offset, "runs": rows, "indexing": about.indexing(viewer)}

    return [
        Route("/about", got(lambda _: about.about(viewer))),
        Route("/runs", got(runs)),
        Route("/runs/{id}", got(lambda request: viewer.details(request.path_params["id"]))),
        *reading.routes(viewer),
        *acting.routes(viewer),
    ]


async def _index(_: Request) -> Response:
    head = '<link rel="stylesheet" href="static/viewer.css">\n<script type="module" src="static/viewer.js"></script>\n'
    return HTMLResponse(with_parts(parts_of(STATIC).page, head, ""))


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in ("viewer.js", "viewer.css"):
        raise HTTPException(404)
    parts = parts_of(STATIC)
    text, kind = (parts.script, "text/javascript") if name == "viewer.js" else (parts.style, "text/css")
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    return Response(text, media_type=kind, headers={"etag": tag})


async def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return answer({"error": {"message": str(error), **error.more}}, error.status)
    if isinstance(error, HTTPException):
        said = "There is no such address." if error.status_code == 404 else error.detail
        return answer({"error": {"message": said}}, error.status_code)
    return answer({"error": {"message": str(error)}}, 409)


async def _broke(request: Request, error: Exception) -> Response:
    """A fault of ours, which Starlette raises again for the log; what it was is nobody's business in a browser."""
    reply = answer({"error": {"message": "Something broke in the viewer; the terminal it runs in says what."}}, 500)
    reply.headers.update(HEADERS)
    return reply
