"""JSON in and out: the object of a request, read with care, its numbers, and an answer."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from mote_backend.serving.exchange import TooLargeError, read
from router_graph.trajectories.shards import as_json
from router_graph.viewer.borders import MAX_BODY
from router_graph.viewer.problems import Problem


async def body_of(request: Request, known: Collection[str]) -> dict[str, Any]:
    """The object, which may have these keys. Raises `Problem` (400, 413)."""
    try:
        data = await read(request, MAX_BODY)
    except TooLargeError:
        raise Problem(413, f"The request is too long; at most {MAX_BODY:,} bytes are taken.") from None
    try:
        told = orjson.loads(data)
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


def answer(value: Any, status: int = 200) -> Response:
    """JSON, of whatever a log may hold."""
    return Response(as_json(value), status, media_type="application/json")
