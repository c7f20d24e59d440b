"""One exchange over HTTP: a body of JSON in, server-sent events out, and a client that may leave in between."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from mote_backend.errors import InputError

if TYPE_CHECKING:
    from starlette.requests import Request

T = TypeVar("T")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class HungUpError(Exception):
    """The client left; what it asked for was given up."""


class TooLargeError(Exception):
    """A body over the limit, of which the rest was not read."""


async def read(request: Request, most: int) -> bytes:
    """The body, of at most so many bytes. Raises `TooLargeError`."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise TooLargeError
    return bytes(body)


def object_of(body: bytes) -> Mapping[str, Any]:
    """The object that the body is in JSON, all of whose texts can be written in UTF-8. Raises `InputError`."""
    try:
        given = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise InputError("The request is no JSON; send an object with messages.") from None
    if not isinstance(given, dict):
        raise InputError("The request is JSON, but no object; send one with messages.")
    if _SURROGATE.search(body) and not _is_writable(given):
        raise InputError("The request holds half of a surrogate pair, which is no text; send whole characters.")
    return given


async def unless_hung_up(request: Request, work: Awaitable[T]) -> T:
    """What the work gives, unless the client leaves first: then the work is cancelled, and `HungUpError` raised."""
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise HungUpError
        return doing.result()
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


def event_of(body: Mapping[str, Any]) -> str:
    """A server-sent event. In ASCII: some clients take U+2028 and its like for the end of a line."""
    return f"data: {json.dumps(body, separators=(',', ':'))}\n\n"


def _no_number(name: str) -> float:
    raise ValueError(name)


def _is_writable(given: object) -> bool:
    try:
        json.dumps(given, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
