"""Ctrl-C ends a server at once, though pages are open that listen to it.

uvicorn waits for each answer to end, and a stream of news never does.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class EndsStreams:
    """An ASGI middleware: server-sent events end properly as soon as the server is told to stop."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._stopping = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and end its answer if need be."""
        streams = False

        async def watched(message: Message) -> None:
            nonlocal streams
            if message["type"] == "http.response.start":
                streams = dict(message["headers"]).get(b"content-type", b"").startswith(b"text/event-stream")
            await send(message)

        work = asyncio.ensure_future(self._app(scope, receive, watched))
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() or not streams:
                return await work
            work.cancel()
            await asyncio.wait({work})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            work.cancel()
            stop.cancel()

    @contextlib.contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Hear Ctrl-C before the server does. For the main thread; elsewhere there are no signals to hear."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in _SIGNALS}

        def heard(number: int, frame: Any) -> None:
            loop.call_soon_threadsafe(self._stopping.set)
            if callable(then := before[signal.Signals(number)]):
                then(number, frame)

        for number in _SIGNALS:
            signal.signal(number, heard)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
