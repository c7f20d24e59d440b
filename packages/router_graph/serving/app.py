"""The endpoint as an ASGI application: models, chat completions, a description of both, and whether it runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Sequence
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mote_backend.serving.guard import LOOPBACK, Guard
from mote_backend.serving.openai_error import error_json
from router_graph.pool.transports.litellm import LiteLLMTransport
from router_graph.resources import Resources
from router_graph.serving.endpoint import ChatEndpoint
from router_graph.serving.offered import Offered
from router_graph.serving.openapi import description

if TYPE_CHECKING:
    from router_graph.settings_live import Router

MAX_BODY = 32 * 2**20
"""Bytes of a request: a picture of 20 MB in base64, and a conversation."""
MAX_RUNS = 64
"""Questions that are answered at once."""
LIMIT_S = 600.0
"""Seconds that an answer may take."""


def app(
    router: Router,
    *,
    offer: Sequence[str] = (),
    token: str | None = None,
    hosts: Collection[str] | None = LOOPBACK,
    origins: Collection[str] = (),
    max_runs: int = MAX_RUNS,
    max_body: int = MAX_BODY,
    limit_s: float = LIMIT_S,
) -> Starlette:
    """The application. The router stays the caller's, and is closed by it.

    `offer` are policies that a request may name besides those that need nothing but what the router has; `hosts` are
    the names that the server may be asked under, None for any; `origins` the web pages that may ask. Raises
    `RouterError` for a policy that there is not.
    """
    offered, started = Offered(router.resources, offer), int(time.time())
    chat = ChatEndpoint(router, offered, max_runs, max_body, limit_s)

    async def answer(request: Request) -> Response:
        return await chat(request)

    def entry(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": started, "owned_by": "polyroute"}

    async def listed(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [entry(name) for name in offered.models]})

    async def one(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in offered.models:
            return JSONResponse(error_json(404, "There is no model of that name.", "model_not_found"), 404)
        return JSONResponse(entry(name))

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def described(_: Request) -> Response:
        return JSONResponse(description(offered, max_body=max_body, needs_token=token is not None))

    async def failed(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = "There is no such address; ask /v1/chat/completions." if error.status_code == 404 else error.detail
        return JSONResponse(error_json(error.status_code, said), error.status_code, error.headers)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        warming = asyncio.create_task(_warm(router.resources))
        yield
        warming.cancel()

    across = Middleware(
        CORSMiddleware, allow_origins=sorted(origins), allow_methods=["GET", "POST"], allow_headers=["*"]
    )
    return Starlette(
        routes=[
            Route("/v1/chat/completions", answer, methods=["POST"]),
            Route("/v1/models", listed),
            Route("/v1/models/{name:path}", one),
            Route("/openapi.json", described),
            Route("/health", health),
        ],
        # Outside of the guard: a browser asks whether it may ask without the token.
        middleware=[*([across] if origins else []), Middleware(Guard, token=token, hosts=hosts, origins=origins)],
        exception_handlers={HTTPException: failed},
        lifespan=lifespan,
    )


async def _warm(resources: Resources) -> None:
    """Import LiteLLM beside the event loop, where models are asked by it: else the first question waits for it."""
    cards = [resources.policy(resources.defaults["policy"]).card]
    cards += [] if resources.pool is None else resources.pool.cards.values()
    if any(card is not None and card.transport == "litellm" for card in cards):
        await LiteLLMTransport().prepare()
