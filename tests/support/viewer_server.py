"""The run viewer on loopback, as `polyroute runs view` serves it, in a thread."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import uvicorn

from router_graph.viewer.app import viewer_app


class ViewerServer:
    """A context manager: the server runs inside. `options` are those of `viewer_app`."""

    def __init__(self, log: Path, *, cache: Path, **options: Any) -> None:
        self.app = viewer_app(log, cache=cache, **options)
        self.viewer = self.app.state.viewer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        config = uvicorn.Config(self.app, log_level="warning", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.client = httpx.Client(base_url=f"{self.url}api/", timeout=20, trust_env=False)
        until(lambda: self._server.started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(10)
        self.viewer.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of an address of the API that answers 200."""
        reply = self.client.get(path, params=query)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def post(self, path: str, status: int = 200, **told: Any) -> Any:
        """What it says to this; of an error the sentence."""
        reply = self.client.post(path, json=told)
        assert reply.status_code == status, reply.text
        return reply.json() if status == 200 else reply.json()["error"]["message"]

    def ended(self, run: str) -> Any:
        """The run's page, when the run has ended."""
        found: dict[str, Any] = {}

        def has_ended() -> bool:
            found.update(self.get(f"runs/{run}"))
            return found["row"]["status"] != "open"

        until(has_ended)
        return found


def until(holds: Any, seconds: float = 10.0) -> None:
    """Wait until it holds; AssertionError if that takes longer."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)
