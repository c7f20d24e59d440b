"""How many calls of one model run side by side; the others wait their turn, first come, first served."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque


class Slots:
    """An `asyncio.Semaphore` that is fair across threads and event loops."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._lock = threading.RLock()  # a waiter that is garbage-collected gives up in the middle of anything
        self._queue: deque[_Waiter] = deque()

    async def take(self) -> None:
        """Wait for a slot."""
        waiter = _Waiter()
        with self._lock:
            if self._free > 0:  # then nobody is waiting
                self._free -= 1
                return
            self._queue.append(waiter)
        try:
            await waiter.turn
        except BaseException:
            with self._lock:
                if waiter.served:  # the turn came as we left: pass it on
                    self._free += 1
                    self._hand_out()
                elif waiter in self._queue:  # else its event loop was found closed
                    self._queue.remove(waiter)
            raise

    def give_back(self) -> None:
        """Free the slot for the next."""
        with self._lock:
            self._free += 1
            self._hand_out()

    def _hand_out(self) -> None:
        while self._free > 0 and self._queue:
            self._free -= 1
            if not self._queue.popleft().serve():
                self._free += 1


class _Waiter:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.turn: asyncio.Future[None] = self.loop.create_future()
        self.served = False

    def serve(self) -> bool:
        """Whether there is still somebody to serve."""
        self.served = True
        try:
            self.loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # its event loop was closed while it waited
            self.served = False
        return self.served

    def _wake(self) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            self.turn.set_result(None)
