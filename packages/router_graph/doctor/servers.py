"""Does somebody listen at an address? A connection is opened and closed again: nothing is asked, nothing is spent."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

_SECONDS = 1.5
_PORTS = {"http": 80, "https": 443}


def reachable(url: str) -> str | None:
    """None where a connection can be made; else why not, as in "does not answer"."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "is no address"
    if not host or not port:
        return "is no address"
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except TimeoutError:
        return f"does not answer within {_SECONDS:g} s"
    except (OSError, UnicodeError) as error:
        return f"cannot be reached ({getattr(error, 'strerror', None) or error})"
    return None


def all_reachable(urls: Iterable[str]) -> dict[str, str | None]:
    """`reachable` of each, all at once."""
    distinct = list(dict.fromkeys(urls))
    if not distinct:
        return {}
    with ThreadPoolExecutor(max_workers=min(16, len(distinct))) as workers:
        return dict(zip(distinct, workers.map(reachable, distinct), strict=True))
