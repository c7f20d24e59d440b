"""The model server of the tests in a process of its own, so that it takes none of the measured process's time."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SERVER = Path(__file__).parent.parent / "tests" / "support" / "model_server.py"


@contextlib.contextmanager
def model_server() -> Iterator[str]:
    """The URL of a running server."""
    with subprocess.Popen([sys.executable, _SERVER, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def meter(url: str) -> list[dict[str, Any]]:
    """What the server billed, a row a request."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/meter") as reply:
        rows: list[dict[str, Any]] = json.load(reply)
    return rows
