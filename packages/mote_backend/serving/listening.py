"""A socket that a server listens on, and the server that runs there until it is interrupted."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from typing import TYPE_CHECKING

from mote_backend.errors import InputError, MissingExtraError
from mote_backend.serving.guard import LOOPBACK, is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp

GRACE_S = 5
"""Seconds that running answers get when the server is interrupted."""


def hosts_of(host: str, token: str | None, *, mend: str) -> Collection[str] | None:
    """The names under which a server on this host may be asked; None for any, as those nobody knows here.

    Raises `InputError`, which ends in `mend`, where other machines could reach it and there is no token.
    """
    if is_loopback(host):
        return LOOPBACK | {host.strip("[]").lower()}
    if not token:
        raise InputError(f"{host} is reachable for other machines; {mend}")
    return None


def listening(host: str, port: int) -> socket.socket:
    """The socket; `port` 0 takes a free one. Raises `InputError` where it cannot be had."""
    host = host.strip("[]")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InputError(
            f"Port {port} of {host} cannot be had ({os.strerror(error.errno or 0)}); give another."
        ) from None


def address_of(host: str, listener: socket.socket) -> str:
    """How a client on this machine, or one that knows the host, calls the server: http://host:port."""
    host = host.strip("[]")
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def run(app: ASGIApp, listener: socket.socket, *, log_level: str = "warning") -> None:
    """Serve until interrupted. Raises `MissingExtraError` without uvicorn."""
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("The server needs uvicorn: pip install 'polyroute[serve]'.") from error
    from mote_backend.serving.patience import Patient

    config = uvicorn.Config(
        app,
        http=Patient,
        log_level=log_level,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    uvicorn.Server(config).run(sockets=[listener])
