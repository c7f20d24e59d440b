"""What changes in a log, told to the pages that are open: server-sent events, while somebody listens."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from router_graph.trajectories.shards import as_json
from router_graph.viewer.about import indexing

if TYPE_CHECKING:
    from router_graph.viewer.index import Index
    from router_graph.viewer.viewer import Viewer

BEAT_S = 15.0
"""After so long without news a comment is sent, so that a connection that is gone is found out."""
_MOST = 500
"""Runs that one event names; where more have changed, it names none and says so."""


async def events(viewer: Viewer) -> AsyncIterator[bytes]:
    """`changed` with the runs that grew, and `indexing` with how much of the log is indexed. News wait for a slow
    listener, and are told together."""
    loop, news, fresh = asyncio.get_running_loop(), set[str](), asyncio.Event()

    def heard(runs: set[str]) -> None:
        news.update(runs)
        fresh.set()

    def hear(runs: set[str]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(heard, runs)

    end = viewer.index.listen(hear)
    told = indexing(viewer)
    try:
        yield event("indexing", told)
        while not viewer.index.is_left:
            try:
                await asyncio.wait_for(fresh.wait(), BEAT_S)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            fresh.clear()
            if not news:
                continue
            runs, now = sorted(news), indexing(viewer)
            news.clear()
            if now != told:
                told = now
                yield event("indexing", told)
            total = await asyncio.to_thread(_total, viewer)
            yield event(
                "changed", {"runs": runs if len(runs) <= _MOST else [], "all": len(runs) > _MOST, "total": total}
            )
    finally:
        end()


def leave_in_time(index: Index) -> None:
    """Send the listeners away at the signal that ends the server: it would wait for them, for ever where nobody told it
    otherwise, and tell its applications only then. To be called in the server's loop; once is enough."""
    if index.heeds_signals or threading.current_thread() is not threading.main_thread():
        return
    index.heeds_signals = True
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)

        def leave(sig: int, frame: FrameType | None, before: Any = before) -> None:
            index.leave()
            if callable(before):
                before(sig, frame)

        if callable(before):
            signal.signal(number, leave)


def event(name: str, data: object) -> bytes:
    """As server-sent events have it. JSON has no line breaks."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), as_json(data))


def _total(viewer: Viewer) -> int:
    with viewer.index.read() as db:
        return int(db.execute("SELECT count(*) FROM runs").fetchone()[0])
