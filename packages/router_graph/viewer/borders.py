"""The borders of the viewer: what every answer tells the browser, and what may ask for changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, and nothing inline: a text that gets into the page as code does not run."""
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}
"""Of every answer."""
MAX_BODY = 1 << 20
"""Bytes of a request."""


class Headers:
    """An ASGI middleware that adds what the browser has to know to every answer, but never over what is there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        default = "no-cache" if "/static/" in scope["path"] else "no-store"

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                added = {**HEADERS, "cache-control": default}
                extra = [(k.encode(), v.encode()) for k, v in added.items() if k.encode() not in there]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self._app(scope, receive, told)


class OnlyOurs:
    """An ASGI middleware: what changes something comes as JSON, which no form and no other site's page can send without
    asking first; and no request comes from another site's page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with what is wrong."""
        if scope["type"] != "http" or (problem := _problem(scope)) is None:
            return await self._app(scope, receive, send)
        from starlette.responses import JSONResponse

        status, message = problem
        await JSONResponse({"error": {"message": message}}, status)(scope, receive, send)


def _problem(scope: Scope) -> tuple[int, str] | None:
    headers = {key.lower(): value for key, value in scope["headers"]}
    if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        return 403, "Pages of other sites may not ask the viewer."
    if scope["method"] in ("GET", "HEAD"):
        return None
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if scope["method"] != "DELETE" and kind != b"application/json":
        return 415, "Send JSON, with the header content-type: application/json."
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > MAX_BODY:
        return 413, f"The request is too long; at most {MAX_BODY:,} bytes are taken."
    return None
