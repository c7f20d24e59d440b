"""Who may ask the server of `langgraph dev`: one gate before all its routes, those of langgraph-api among them.

langgraph-api would guard only its own routes, let Studio's header past a custom `Auth`, and answer `/deploy` (which
starts a program) and `/internal` (which empties its store) for anybody. As a middleware of the custom app, this stands
before everything that the port answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mote_backend.serving.guard import LOOPBACK, Guard, is_loopback
from starlette.responses import JSONResponse

from router_graph.errors import SettingsError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN_VARIABLE = "POLYROUTE_TOKEN"

_IN_PROCESS = "/noauth"
"""The root path of the calls that langgraph-sdk makes inside the server; no request from outside can set it."""
_DANGEROUS = ("/deploy", "/internal")
_PAGE, _API = "/app", "api"


class ServerGuard:
    """An ASGI middleware over `Guard`: Host, Origin and token of each request, and of each WebSocket.

    With a token everything needs it but `/ok` and the files of the run viewer, which have no data: a browser gets the
    token to the page behind a `#`. Without one, what changes the machine or the whole store is refused.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, loopback: bool, origins: frozenset[str]) -> None:
        self._app, self._token, self._origins = app, token, origins
        self._hosts = LOOPBACK if loopback else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with what is wrong."""
        inside = scope.get("root_path", "")
        if scope["type"] == "lifespan" or inside == _IN_PROCESS or inside.startswith(f"{_IN_PROCESS}/"):
            return await self._app(scope, receive, send)
        path = scope["path"].removeprefix(inside)
        if self._token is None and _is_under(path, *_DANGEROUS):
            message = f"{path} is refused as long as the server has no token; set {TOKEN_VARIABLE} to one."
            return await JSONResponse({"error": {"message": message}}, 403)(scope, receive, send)
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        is_open = _is_preflight(scope, headers) or _is_open(path)
        guard = Guard(
            self._app,
            token=None if is_open else self._token,
            hosts=self._hosts,
            origins=self._origins | _own_origin(headers),
        )
        await guard(scope, receive, send)


def guard_options(environ: Mapping[str, str] = os.environ) -> dict[str, object]:
    """What `ServerGuard` is made with: POLYROUTE_TOKEN, where the server listens, and the `cors` of langgraph.json.

    Raises `SettingsError` where other machines reach the server, and it has no token.
    """
    token = environ.get(TOKEN_VARIABLE) or None
    host = urlsplit(environ.get("LANGGRAPH_API_URL", "")).hostname or ""
    loopback = is_loopback(host)
    if not loopback and token is None:
        where = f"on {host}" if host else "somewhere unknown"
        raise SettingsError(
            f"The server is to listen {where}, where other machines may reach it; set {TOKEN_VARIABLE} to a secret "
            "that clients send, or leave --host at 127.0.0.1."
        )
    cors = (json.loads(environ.get("LANGGRAPH_HTTP") or "{}") or {}).get("cors") or {}
    origins = frozenset(cors.get("allow_origins") or ())
    return {"token": token, "loopback": loopback, "origins": origins}


def _is_under(path: str, *roots: str) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def _is_open(path: str) -> bool:
    return path in ("/", "/ok") or (_is_under(path, _PAGE) and _API not in path.split("/"))


def _is_preflight(scope: Scope, headers: Mapping[str, str]) -> bool:
    """A browser's question whether it may ask, which has no token and reaches no route."""
    return scope.get("method") == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def _own_origin(headers: Mapping[str, str]) -> frozenset[str]:
    """The origin of the request, if it is the server's own: a page that it served itself. `Guard` checks the host."""
    origin, host = headers.get("origin", ""), headers.get("host", "")
    return frozenset({origin} if host and urlsplit(origin).netloc == host else ())
