"""Sync calls of async code: one event loop in a thread of its own, so that a call is written once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from router_graph.errors import RouterError

T = TypeVar("T")

_PATIENCE_S = 5.0
"""How long an interrupted call may take to clean up, in seconds."""

_lock = threading.RLock()  # garbage collection can call `later` in the middle of anything
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_pid: int | None = None
"""Of the process that the loop runs in: a fork has the object without its thread."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of the coroutine, which sees the caller's context variables. Interrupted, it is cancelled."""
    try:
        check()
    except RouterError:
        work.close()
        raise
    over = threading.Event()

    async def watched() -> T:
        try:
            return await work
        finally:
            over.set()

    future = asyncio.run_coroutine_threadsafe(watched(), _running())
    try:
        return future.result()
    except BaseException:
        if not future.done():
            future.cancel()
            over.wait(_PATIENCE_S)  # until it has settled its bill
        raise


def check() -> None:
    """Raise `RouterError` where a sync call would hold up the portal's own event loop."""
    if threading.current_thread() is _thread:
        raise RouterError(
            "A sync call from inside the pool's own event loop would wait for itself; use its async form."
        )


def later(work: Callable[[], object]) -> None:
    """Do this soon, in the portal's thread. Fit for `__del__`, which may run while any lock is held."""
    if not sys.is_finalizing():
        _running().call_soon_threadsafe(work)


def iterate(stream: AsyncGenerator[T, None]) -> Iterator[T]:
    """The items of the stream as they come. Closed early, the stream is closed too."""
    items: asyncio.Queue[tuple[T | None, bool]] = asyncio.Queue(maxsize=1)

    async def pump() -> None:
        # One task drives the stream from its first step to its last, as time limits need it.
        async with contextlib.aclosing(stream):
            async for item in stream:
                await items.put((item, False))

    async def take(pumping: asyncio.Task[None]) -> tuple[T | None, bool]:
        getting = asyncio.ensure_future(items.get())
        try:
            await asyncio.wait((getting, pumping), return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                return getting.result()
        finally:
            getting.cancel()
        await pumping
        return None, True

    async def start() -> None:
        pumps.append(asyncio.ensure_future(pump()))

    def stop() -> None:
        for pumping in pumps:
            pumping.cancel()
            pumping.add_done_callback(lambda _: over.set())

    over = threading.Event()
    pumps: list[asyncio.Task[None]] = []
    try:
        run(start())
        while True:
            item, is_last = run(take(pumps[0]))
            if is_last:
                return
            yield item  # type: ignore[misc]
    finally:
        if pumps:
            later(stop)
            # Collected as garbage, this may be the portal's own thread, or hold a lock that the portal waits for.
            if threading.current_thread() is not _thread and not sys.is_finalizing():
                over.wait(_PATIENCE_S)


def _running() -> asyncio.AbstractEventLoop:
    global _loop, _pid, _thread
    with _lock:
        if _loop is None or _pid != os.getpid():
            _loop, _pid = asyncio.new_event_loop(), os.getpid()
            _thread = threading.Thread(target=_run_forever, args=(_loop,), name="polyroute-pool", daemon=True)
            _thread.start()
        return _loop


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop. Where a call exits, asyncio lets that end its loop; it is for the caller to hear, not for us."""
    while True:
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            loop.run_forever()
            return
