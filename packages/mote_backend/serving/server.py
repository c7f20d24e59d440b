"""An OpenAI-compatible endpoint over chat models whose experts can be switched: `serve`, or `app` for any ASGI server.

`GET /v1/models` lists each model, and with each of its named masks as "NAME:MASK". `POST /v1/chat/completions` takes
what `mote_backend.serving.openai_request.Body` has, and the mask as "NAME:MASK" or in the field `mote_mask`
(`extra_body` of OpenAI's client). The reply names the mask in `mote` and in the header x-mote-mask. `GET /health` tells
that it runs.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from mote_backend.errors import InputError, MissingExtraError
from mote_backend.serving.errors import error_json
from mote_backend.serving.guard import LOOPBACK, Guard, is_loopback
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
    if not is_loopback(host) and token is None:
        raise InputError(
            f"{host} is reachable for other machines; set a token (POLYROUTE_MOTE_TOKEN for `polyroute mote serve`), "
            "or listen on 127.0.0.1."
        )
    hosts = LOOPBACK | {host.strip("[]").lower()} if is_loopback(host) else None  # those names nobody knows here
    application = app(models, token=token, hosts=hosts, origins=origins)
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("The server needs uvicorn: pip install 'polyroute[serve]'.") from error
    with _listening(host, port) as listener:
        ServedModels(models).check()
        port = listener.getsockname()[1]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
        _LOG.info("Serving %s at %s", ", ".join(models), address)
        if ready is not None:
            ready(address)
        config = uvicorn.Config(
            application,
            log_level="warning" if ready is not None else "info",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    host = host.strip("[]")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InputError(
            f"Port {port} of {host} cannot be had ({os.strerror(error.errno or 0)}); give another."
        ) from None
