"""Who may ask the server of `langgraph dev`: one gate before all its routes, those of langgraph-api among them.

langgraph-api would guard only its own routes, let Studio's header past a custom `Auth`, and answer `/deploy` (which
starts a program) and `/internal` (which empties its store) for anybody. As a middleware of the custom app, this stands
before everything that the port answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from mote_backend.serving.guard import LOOPBACK, Guard, is_loopback
from router_graph.errors import SettingsError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN_VARIABLE = "POLYROUTE_TOKEN"

_IN_PROCESS = "/noauth"
"""The root path of the calls that langgraph-sdk makes inside the server; no request from outside can set it."""
_DANGEROUS = ("/deploy", "/internal")
_PAGE, _API = "/app", "api"


@dataclass(frozen=True)
class Who:
    """Who may ask."""

    token: str | None
    """What each request must send, if anything."""
    hosts: Collection[str] | None
    """The names that the server may be asked under; None for any."""
    origins: Collection[str]
    """The web pages that may ask, besides the server's own."""


class ServerGuard:
    """An ASGI middleware over `Guard`: Host, Origin and token of each request, and of each WebSocket.

    With a token everything needs it but `/ok` and the files of the run viewer, which have no data: a browser gets the
    token to the page behind a `#`. Without one, what changes the machine or the whole store is refused.
    """

    def __init__(self, app: ASGIApp, *, who: Who) -> None:
        self._app, self._has_token = app, who.token is not None
        shared: dict[str, Any] = {"hosts": who.hosts, "origins": who.origins, "own_pages": True}
        self._known = Guard(app, token=who.token, **shared)
        self._anybody = Guard(app, token=None, **shared)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with what is wrong."""
        inside = scope.get("root_path", "")
        if scope["type"] == "lifespan" or _is_under(inside, _IN_PROCESS):
            return await self._app(scope, receive, send)
        path = scope["path"].removeprefix(inside)
        if not self._has_token and _is_under(path, *_DANGEROUS):
            message = f"{path} is refused as long as the server has no token; set {TOKEN_VARIABLE} to one."
            return await JSONResponse({"error": {"message": message}}, 403)(scope, receive, send)
        guard = self._anybody if _is_open(path) or _is_preflight(scope) else self._known
        await guard(scope, receive, send)


def who_may_ask(environ: Mapping[str, str] = os.environ) -> Who:
    """By POLYROUTE_TOKEN, where the server listens, and `cors` of langgraph.json.

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
    cors = json.loads(environ.get("LANGGRAPH_HTTP") or "{}").get("cors") or {}
    return Who(token, LOOPBACK | {host} if loopback else None, cors.get("allow_origins") or ())


def _is_under(path: str, *roots: str) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def _is_open(path: str) -> bool:
    return path in ("/", "/ok") or (_is_under(path, _PAGE) and _API not in path.split("/"))


def _is_preflight(scope: Scope) -> bool:
    """A browser's question whether it may ask, which has no token and reaches no route."""
    names = {name for name, _ in scope["headers"]}
    return scope.get("method") == "OPTIONS" and {b"origin", b"access-control-request-method"} <= names
