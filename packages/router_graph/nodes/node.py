"""One core for sync and async callers: a node of a graph, written once as a coroutine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.config import get_config
from langgraph.runtime import Runtime, get_runtime

from router_graph.pool import portal
from router_graph.resources import Resources

Core = Callable[[Resources, Any, Runtime[Any]], Awaitable[dict[str, Any]]]


class Node(Runnable[Any, dict[str, Any]]):
    """Stands in any LangGraph graph, sync or async. In a sync graph it runs in the pool's event loop, with the
    caller's context variables, so that streaming, interrupts and callbacks work there as well."""

    def __init__(self, core: Core, resources: Resources, name: str) -> None:
        self.resources = resources
        self.name = name
        self._core = core

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """The node's update of the state."""
        return await self._run(input, get_runtime())

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """`ainvoke`, for code that is not async. Raises `RouterError` inside the pool's event loop: its siblings, which
        LangGraph runs in other threads, would wait for that loop for ever."""
        portal.check()
        work = self._run(input, get_runtime())
        return _at_once(work) if self._waits_for_nothing(input) else portal.run(work)

    def _waits_for_nothing(self, state: Any) -> bool:
        """Whether it can be run where it stands: a change of threads takes as long as the rest of the node."""
        if self.name != "think":
            return self.name in ("begin", "finish")
        settings = state.get("settings") or self.resources.defaults
        return settings["shadow"] is None and self.resources.policy(settings["policy"]).decides_alone

    async def _run(self, input: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        try:
            return await self._core(self.resources, input, runtime)
        except BaseException:
            if "turn" in input and not can_be_resumed():
                self.resources.accounts.close(input["turn"])  # without a checkpointer nobody can go on with it
            raise


def can_be_resumed() -> bool:
    """Whether the graph that runs has a checkpointer."""
    # LangGraph tells its nodes the thread, but not whether anybody keeps it; a test fails if an upgrade moves this.
    return get_config()["configurable"].get("__pregel_checkpointer") is not None


def _at_once(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        result: dict[str, Any] = done.value
        return result
    work.close()
    raise RuntimeError("A policy that says `decides_alone` waited for something; set it to False.")
