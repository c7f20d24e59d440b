"""`POST /v1/chat/completions`: one question to the router, answered whole or as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mote_backend.serving.exchange import HungUpError, TooLargeError, object_of, read, unless_hung_up
from mote_backend.serving.openai_error import error_json
from router_graph.context import RouterContext
from router_graph.errors import SettingsError
from router_graph.serving.errors import BusyError, ThreadBusyError, told
from router_graph.serving.granted import granted
from router_graph.serving.offered import Offered
from router_graph.serving.reply import Reply
from router_graph.serving.request import Asked, asked
from router_graph.serving.run import Run

if TYPE_CHECKING:
    from router_graph.settings_live import Router

BODY_S = 30.0
"""Seconds in which a client must have sent its request."""


@dataclass
class ChatEndpoint:
    """Answers `max_runs` requests at once, and the rest with status 429."""

    router: Router
    offered: Offered
    max_runs: int
    max_body: int
    """Bytes of a request."""
    limit_s: float
    """Seconds that a run may take."""
    _runs: int = field(default=0, init=False)
    _threads: set[str] = field(default_factory=set, init=False)

    async def __call__(self, request: Request) -> Response:
        """The answer, also for what goes wrong."""
        try:
            return await self._answer(request)
        except (HungUpError, ClientDisconnect):
            return Response(status_code=499)  # nobody reads it
        except TooLargeError:
            return JSONResponse(error_json(413, f"A request may have {self.max_body:,} bytes."), 413)
        except Exception as error:
            status, body = told(error)
            return JSONResponse(body, status, {"retry-after": "1"} if status == 429 else None)

    async def _answer(self, request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return JSONResponse(error_json(415, "The content-type of a request is application/json."), 415)
        try:
            async with asyncio.timeout(BODY_S):
                body = await read(request, self.max_body)
        except TimeoutError:
            said = f"The request was not sent within {BODY_S:g} s."
            return JSONResponse(error_json(408, said), 408, {"connection": "close"})
        wanted = asked(object_of(body))
        run = self._begun(wanted, self._context(wanted))
        reply = Reply(wanted, run)
        headers = {"x-request-id": reply.id}
        try:
            if not wanted.stream:
                return JSONResponse(await unless_hung_up(request, reply.whole()), headers=headers)
            events = reply.events()
            # The run has begun before the status is sent, so that a refusal has one of its own.
            first = await unless_hung_up(request, anext(events))
        except BaseException:
            await run.give_up()
            raise
        return _Stream(first, events, run, headers)

    def _context(self, wanted: Asked) -> RouterContext:
        """The context of the run. Raises `RouterError` for what the request may not ask for."""
        context, named = wanted.context, self.offered.policy_of(wanted.model)
        for policy in (context.policy, context.shadow):
            if policy is not None:
                self.offered.check(policy)
        if named is not None and context.policy not in (None, named):
            raise SettingsError(
                f"The model {wanted.model!r} decides, and polyroute names the policy {context.policy!r}; give one."
            )
        if named is not None:
            context = RouterContext(**{**context.model_dump(exclude_unset=True), "policy": named})
        return granted(context, self.router.settings.turn)

    def _begun(self, wanted: Asked, context: RouterContext) -> Run:
        """The run, which counts until it is over. Raises `BusyError` and `ThreadBusyError`."""
        thread = wanted.extra.thread
        if self._runs >= self.max_runs:
            raise BusyError(f"{self._runs} questions are being answered, the most at once; ask again later.")
        if thread in self._threads:
            raise ThreadBusyError(f"A question of the thread {thread!r} is being answered; ask again when it is.")

        def over(_: object) -> None:
            self._runs -= 1
            self._threads.discard(thread or "")

        run = Run(self.router, wanted, context, limit_s=self.limit_s)
        self._runs += 1
        if thread is not None:
            self._threads.add(thread)
        run.task.add_done_callback(over)
        return run


class _Stream(StreamingResponse):
    """Server-sent events; whoever stops reading them ends the run."""

    def __init__(self, first: str, rest: AsyncGenerator[str, None], run: Run, headers: dict[str, str]) -> None:
        async def events() -> AsyncGenerator[str, None]:
            yield first
            async for one in rest:
                yield one

        self._run = run
        headers = {**headers, "cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(events(), media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._run.give_up()
