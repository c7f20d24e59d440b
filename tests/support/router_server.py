"""`polyroute serve` on loopback, by a real uvicorn in a thread."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn

from mote_backend.serving.patience import Patient
from router_graph.serving.app import app
from router_graph.settings_live import Router


@contextlib.contextmanager
def serving(router: Router, **options) -> Iterator[str]:
    """The address of the running server."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app(router, **options), http=Patient, log_level="warning", timeout_graceful_shutdown=2)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
