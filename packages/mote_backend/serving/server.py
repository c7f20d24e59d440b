"""An OpenAI-compatible endpoint over chat models whose experts can be switched: `serve`, or `app` for any ASGI server.

`GET /v1/models` lists each model, and with each of its named masks as "NAME:MASK". `POST /v1/chat/completions` takes
what `mote_backend.serving.openai_request.Body` has, and the mask as "NAME:MASK" or in the field `mote_mask`
(`extra_body` of OpenAI's client). The reply names the mask in `mote` and in the header x-mote-mask. `GET /health` tells
that it runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from mote_backend.errors import MissingExtraError
from mote_backend.serving.guard import LOOPBACK, Guard
from mote_backend.serving.listening import address_of, hosts_of, listening, run
from mote_backend.serving.openai_error import error_json
from mote_backend.serving.served_models import ServedModels

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from mote_backend.chat.chat_mote import ChatMoTE

_LOG = logging.getLogger(__name__)

MAX_BODY = 4 * 2**20
"""Bytes of a request."""
MOST_WAITING = 256
"""Requests that are queued or running at once."""


def app(
    models: Mapping[str, ChatMoTE],
    *,
    token: str | None = None,
    hosts: Collection[str] | None = LOOPBACK,
    origins: Collection[str] = (),
    max_body: int = MAX_BODY,
    most_waiting: int = MOST_WAITING,
) -> Starlette:
    """The ASGI application. `hosts` are the names that it may be asked under, None for any; see `Guard`.

    Raises MissingExtraError without Starlette, and InputError for a name that cannot be served.
    """
    try:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.middleware import Middleware
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route
    except ImportError as error:
        raise MissingExtraError("The server needs Starlette and uvicorn: pip install 'polyroute[serve]'.") from error
    from mote_backend.serving.chat import ChatEndpoint

    served, started = ServedModels(models), int(time.time())
    chat = ChatEndpoint(served, max_body, most_waiting)

    async def answer(request: Request) -> Response:
        return await chat(request)

    def entry(name: str) -> dict[str, Any]:
        mask = served.choose(name).mask
        told = {"id": mask.id, "name": mask.name} if mask else None
        return {"id": name, "object": "model", "created": started, "owned_by": "mote_backend", "mote": told}

    async def listed(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [entry(name) for name in served.names]})

    async def one(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in served.names:
            return JSONResponse(error_json(404, "There is no model of that name.", "model_not_found"), 404)
        return JSONResponse(entry(name))

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def failed(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = "There is no such address; ask /v1/chat/completions." if error.status_code == 404 else error.detail
        return JSONResponse(error_json(error.status_code, said), error.status_code, error.headers)

    return Starlette(
        routes=[
            Route("/v1/chat/completions", answer, methods=["POST"]),
            Route("/v1/models", listed),
            Route("/v1/models/{name:path}", one),
            Route("/health", health),
        ],
        middleware=[Middleware(Guard, token=token, hosts=hosts, origins=origins)],
        exception_handlers={HTTPException: failed},
    )


def serve(
    models: Mapping[str, ChatMoTE],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    origins: Collection[str] = (),
    ready: Callable[[str], None] | None = None,
) -> None:
    """Load the models and serve them until interrupted. `port` 0 takes a free one; `ready` gets the address.

    Raises InputError where the address is taken, or is reachable for other machines and has no token; MaskError for a
    named mask that does not fit its model; ModelLoadError, UnsupportedModelError and MissingExtraError.
    """
    token = token or None
    mend = "set a token (POLYROUTE_MOTE_TOKEN for `polyroute mote serve`), or listen on 127.0.0.1."
    application = app(models, token=token, hosts=hosts_of(host, token, mend=mend), origins=origins)
    with listening(host, port) as listener:
        ServedModels(models).check()
        address = f"{address_of(host, listener)}/v1"
        _LOG.info("Serving %s at %s", ", ".join(models), address)
        if ready is not None:
            ready(address)
        run(application, listener, log_level="warning" if ready is not None else "info")
