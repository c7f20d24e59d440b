"""A server on loopback that answers everything alike: for what no real provider's protocol can be asked to say."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class RawServer:
    """`with RawServer(429, "{}") as raw: raw.url`; `seen` has the headers of each request, names in small letters."""

    def __init__(
        self, status: int, body: str, *, kind: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> None:
        self.seen: list[dict[str, str]] = []
        seen, data = self.seen, body.encode()
        sent = {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            answered: ClassVar = sent

            def do_POST(self) -> None:
                seen.append({name.lower(): value for name, value in self.headers.items()})
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                for name, value in self.answered.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> RawServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
