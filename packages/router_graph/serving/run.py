"""One question on its way through the graph, in a task of its own that can be listened to and given up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from langgraph.types import Command

from router_graph.context import RouterContext
from router_graph.errors import SettingsError
from router_graph.serving.request import Asked

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from router_graph.settings_live import Router

NOBODY = "nobody is there to be asked"


class TooSlowError(Exception):
    """The run took longer than the server waits."""


class Run:
    """Begins when it is made. Whatever ends it, its calls are settled: what was under way is booked at its worst case.

    A request is a run of a thread that nobody keeps, unless it names one. A call that a person would have to agree to
    is declined.
    """

    def __init__(self, router: Router, asked: Asked, context: RouterContext, *, limit_s: float) -> None:
        self._router, self._asked, self._context, self._limit_s = router, asked, context, limit_s
        self._state: dict[str, Any] = {}
        self._turn: str | None = None
        self._started = time.perf_counter()
        self._news: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        self.task = asyncio.create_task(self._go())

    async def result(self) -> dict[str, Any]:
        """The state after the turn. Raises `RouterError` for what cannot be asked, and `TooSlowError`."""
        await self.task
        return self._state

    async def events(self, *, every_s: float) -> AsyncIterator[Mapping[str, Any] | None]:
        """What happens, as in `router_graph.events`; None where nothing has for so many seconds. Raises what `result`
        does, where it ends."""
        while True:
            try:
                news = await asyncio.wait_for(self._news.get(), every_s)
            except TimeoutError:
                yield None
                continue
            if news is None:
                await self.task
                return
            yield news

    async def give_up(self) -> None:
        """End it now, if it is under way."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._started

    async def _go(self) -> None:
        try:
            async with asyncio.timeout(self._limit_s) as limit:
                await self._through()
        except TimeoutError:
            if not limit.expired():
                raise
            raise TooSlowError(f"There was no answer within {self._limit_s:g} s, and the run was given up.") from None
        finally:
            if self._turn is not None:
                self._router.resources.accounts.close(self._turn)
            self._news.put_nowait(None)

    async def _through(self) -> None:
        graph, config = self._graph()
        given: Any = {"messages": self._messages()}
        modes = ["custom", "values"] if self._asked.stream else ["values"]
        while True:
            steps = graph.astream(given, config, context=self._context, stream_mode=modes)
            async with contextlib.aclosing(steps):
                async for mode, data in steps:
                    if mode == "custom":
                        self._turn = data["turn"]
                        self._news.put_nowait(data)
                    else:
                        self._state = data
                        self._turn = data.get("turn", self._turn)
            waiting = self._state.get("__interrupt__")
            if not waiting:
                return
            given = Command(resume={one.id: NOBODY for one in waiting})

    def _messages(self) -> list[Any]:
        if self._asked.extra.thread is not None:
            return [self._asked.said.last]
        # Which documents an answer was made of, its client does not say: any that some model must not see.
        return self._asked.said.messages(met=self._router.resources.rules.kept_apart)

    def _graph(self) -> tuple[Any, RunnableConfig]:
        settings = self._router.resources.settings(self._context)
        thread, keeper = self._asked.extra.thread, None
        if thread is not None:
            keeper = self._router.checkpointer
            if keeper is None:
                raise SettingsError(
                    "polyroute: there is no thread to go on with, as this server keeps none; write `checkpoints: "
                    "threads.sqlite` in its router.yaml, or send the messages before the question."
                )
        elif settings["ask_above_usd"] is not None:
            from langgraph.checkpoint.memory import InMemorySaver

            keeper, thread = InMemorySaver(), "request"
        # A step is two supersteps of LangGraph, and `limits` ends a turn of thoughts alone after 3 times max_steps.
        most = 2 * (3 * settings["max_steps"] + 6)
        config: RunnableConfig = {"metadata": dict(self._asked.about), "recursion_limit": most}
        if thread is not None:
            config["configurable"] = {"thread_id": thread}
        return self._router.compiled(keeper), config
