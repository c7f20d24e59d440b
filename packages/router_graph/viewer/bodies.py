"""The JSON object of a request, read with care."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any

import orjson
from starlette.requests import Request

from router_graph.viewer.borders import MAX_BODY
from router_graph.viewer.problems import Problem


async def body_of(request: Request, known: Collection[str]) -> dict[str, Any]:
    """The object, which may have these keys. Raises `Problem` (400, 413)."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY:
            raise Problem(413, f"The request is too long; at most {MAX_BODY:,} bytes are taken.")
    try:
        told = orjson.loads(bytes(data))
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise Problem(400, f"Send a JSON object with {', '.join(known)}.")
    for key in told:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
            raise Problem(400, f"{key[:40]!r} is no known key; {hint}")
    return told


def whole_number(text: str, name: str) -> int:
    """A number of a query. Raises `Problem` for anything else."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Problem(400, f"{name} is {text[:40]!r}; it must be a whole number from 0.")
    return int(text)
