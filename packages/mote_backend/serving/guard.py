"""Who may ask: no web page that a browser shows, and nobody without the token where one is set."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection
from typing import TYPE_CHECKING

from mote_backend.serving.openai_error import error_json

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN = "/health"
"""Answered without a token."""


class Guard:
    """An ASGI middleware.

    Without it, any web page could reach a server on loopback: by a request from the page's own origin, or under a name
    that its owner lets point to 127.0.0.1 (DNS rebinding). `hosts` are the names by which the server may be asked, None
    for any; `origins` the web pages that may ask, and with `own_pages` the server's own too. The token is compared in
    constant time, and never logged.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        hosts: Collection[str] | None,
        origins: Collection[str],
        own_pages: bool = False,
    ) -> None:
        self._app, self._hosts, self._origins, self._own_pages = app, hosts, frozenset(origins), own_pages
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with what is wrong."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = {key.lower(): value for key, value in scope["headers"]}
        problem = self._problem(scope["path"], headers)
        if problem is None:
            return await self._app(scope, receive, send)
        status, message = problem
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008, "reason": message})
        from starlette.responses import JSONResponse

        challenge = {"www-authenticate": "Bearer"} if status == 401 else None
        await JSONResponse(error_json(status, message), status, challenge)(scope, receive, send)

    def _problem(self, path: str, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        asked = headers.get(b"host", b"").decode("latin-1")
        host = host_name(asked)
        if self._hosts is not None and host not in self._hosts:
            return 403, "This server is not asked under that host name; use the address that it was started with."
        origin = headers.get(b"origin", b"").decode("latin-1")
        is_own = self._own_pages and asked != "" and origin.partition("://")[2] == asked
        if origin and not is_own and origin not in self._origins:
            return 403, "Web pages of that origin may not ask this server."
        if self._token is None or path == OPEN:
            return None
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            return 401, "This server wants its token as the API key."
        return None


def host_name(header: str) -> str:
    """The host in a Host header, without port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
