"""The model server, with the times at which it was asked and was done."""

from __future__ import annotations

import time
from dataclasses import dataclass

from support.model_server import ModelServer, Seen, Wire


@dataclass(slots=True)
class Visit:
    """One request, in seconds of `time.perf_counter`."""

    model: str
    begun: float
    ended: float = 0.0
    """When its reply was out, or the client had left."""


class TimedServer(ModelServer):
    """A `ModelServer` that keeps a visit for each row of its meter."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.visits: list[Visit] = []

    async def _respond(self, request: Seen, wire: Wire) -> bool:
        visit = Visit(str(request.body.get("model")), time.perf_counter())
        self.visits.append(visit)
        try:
            return await super()._respond(request, wire)
        finally:
            visit.ended = time.perf_counter()

    def clear(self) -> None:
        """Forget what was, as for another run. Nothing may be under way."""
        self.settle()
        for kept in (self.meter, self.seen, self.peak, self.visits):
            kept.clear()

    def gaps(self, failing: str, timeout_s: float) -> list[tuple[float, float]]:
        """When each call of this model failed, and when the next request came. A call that hangs fails at its time
        limit."""
        hung = "hang" in failing
        return [
            (one.begun + timeout_s if hung else one.ended, later.begun)
            for one, later in zip(self.visits, self.visits[1:], strict=False)
            if one.model == failing
        ]
