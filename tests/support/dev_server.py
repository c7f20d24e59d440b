"""`langgraph dev`, as `make dev` starts it, in a folder and on a port of its own; and who it tried to reach."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

ROOT = Path(__file__).parents[2]
_READY_S = 60.0
_FLAGS = "--no-browser --no-reload --host 127.0.0.1 --n-jobs-per-worker 10"  # as in the Makefile
_SPY = """
def _install():  # nothing in it is a global: what is one may be gone by the time a thread connects
    import socket

    here = ("127.0.0.1", "::1", "localhost")

    def tell(*what):
        with open({log!r}, "a") as file:
            print(*what, file=file)

    def watch(name):
        real = getattr(socket.socket, name)

        def watched(self, address, *rest):
            if self.family in (socket.AF_INET, socket.AF_INET6) and str(address[0]) not in here:
                tell(name, address)
            return real(self, address, *rest)

        setattr(socket.socket, name, watched)

    watch("connect")
    watch("connect_ex")
    look_up = socket.getaddrinfo

    def getaddrinfo(host, *rest, **more):
        if host not in (None, "", *here):
            tell("getaddrinfo", host)
        return look_up(host, *rest, **more)

    socket.getaddrinfo = getaddrinfo
    tell("watching")


_install()
"""


class DevServer:
    """A context manager: the server runs inside, with the project's own langgraph.json."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self._env = dict(env)
        self._contacts = folder / "contacts.txt"
        self._log = folder / "server.log"

    @property
    def contacts(self) -> list[str]:
        """Whom the server, or its command line, tried to reach besides this machine."""
        watched = self._contacts.read_text().splitlines()
        assert "watching" in watched, "nobody watched whom the server reaches"
        return [line for line in watched if line != "watching"]

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self._log.read_text(errors="replace")

    def __enter__(self) -> Self:
        shutil.copy(ROOT / "langgraph.json", self.folder)
        (self.folder / "sitecustomize.py").write_text(_SPY.format(log=str(self._contacts)))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        path = (str(self.folder), os.environ.get("PYTHONPATH"))
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("langgraph"), "dev", *f"{_FLAGS} --port {port}".split()],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), **self._env},
            )
        self._wait()
        return self

    def interrupt(self, seconds: float) -> int:
        """Press Ctrl-C, and give the exit status; fails where it takes longer."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self) -> None:
        started = time.monotonic()
        while time.monotonic() - started < _READY_S and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/ok", timeout=2).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        self.__exit__(None, None, None)
        raise RuntimeError(f"The server did not start:\n{self.log[-4000:]}")
