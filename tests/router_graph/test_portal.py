"""Sync streams through the portal's event loop."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from router_graph.pool import portal


class Ring:
    """A stream that only the garbage collector ends."""

    def __init__(self, stream) -> None:
        self.stream, self.ring = stream, self


def test_a_stream_collected_under_a_lock_that_the_portal_needs_does_not_stop_the_process(monkeypatch):
    monkeypatch.setattr(portal, "_PATIENCE_S", 0.05)
    lock, is_closed, is_collected = threading.Lock(), threading.Event(), threading.Event()

    async def numbers():
        try:
            yield 1
            await asyncio.sleep(60)
        finally:
            with lock:
                is_closed.set()

    def collect():
        with lock:
            gc.collect()
        is_collected.set()

    ring = Ring(portal.iterate(numbers()))
    assert next(ring.stream) == 1
    del ring
    threading.Thread(target=collect, daemon=True).start()
    assert is_collected.wait(10)
    assert is_closed.wait(10)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.timeout(20)
def test_a_call_that_exits_is_heard_by_its_caller_and_the_next_one_runs(error):
    async def leave():
        raise error

    async def stay():
        return 7

    with pytest.raises(error):
        portal.run(leave())
    assert portal.run(stay()) == 7
