"""HTTP for a server that strangers reach: nobody holds a connection open by never finishing the head of a request."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""Seconds in which the head of a request must have come, from the connection or the first byte after the last one."""


class Patient(H11Protocol):
    """uvicorn's own protocol, which bounds the size of a head (64 KiB) and not its time."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """It sends something."""
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has left."""
        super().connection_lost(exc)
        self._wait(over=True)

    def _wait(self, *, over: bool = False) -> None:
        if over or not self._has_no_request():
            if self._late is not None:
                self._late.cancel()
            self._late = None
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_S, self._hang_up)

    def _hang_up(self) -> None:
        self._late = None
        if self._has_no_request():
            self.transport.close()

    def _has_no_request(self) -> bool:
        return self.cycle is None or self.cycle.response_complete
