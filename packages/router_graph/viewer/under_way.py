"""Runs that the viewer itself began: a few at once, in the server's event loop, each recorded as it goes.

A run that waits for a person stays here until somebody answers. What is under way at the end is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from router_graph.viewer.problems import Problem

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import Interrupt

AT_ONCE = 4
"""Runs that go on at the same time; those that wait for a person are not counted."""

_logger = logging.getLogger(__name__)


@dataclass
class Going:
    """One run."""

    graph: CompiledStateGraph[Any, Any, Any, Any]
    config: RunnableConfig
    begun: asyncio.Future[str]
    """The id of the run, once it is in the log."""
    interrupts: Sequence[Interrupt] = ()
    """What it waits for."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def waits(self) -> list[dict[str, Any]]:
        """What a person is asked: `interrupt` is its id; target, query, usd_at_most and step as the graph says."""
        told = (
            (one.id, one.value if isinstance(one.value, Mapping) else {"text": one.value}) for one in self.interrupts
        )
        return [{"interrupt": name, **value} for name, value in told]


class UnderWay:
    """The runs of one viewer. `begin` and `resume` are called in the event loop that the runs go on in. `tell` hears of
    those that begin to wait."""

    def __init__(self, at_once: int = AT_ONCE, *, tell: Callable[[set[str]], None] = lambda runs: None) -> None:
        self._at_once, self._tell = at_once, tell
        self._going: dict[str, Going] = {}
        """By the run's id; of a run that has not begun, by one that is made up, or the one that it will have."""
        self.one_by_one = asyncio.Lock()
        """Held from looking whether a run was begun, or answered, until that is done: so it is paid once."""

    @property
    def waiting(self) -> dict[str, list[dict[str, Any]]]:
        """By run: what it waits for, of those that do."""
        return {run: one.waits for run, one in list(self._going.items()) if one.interrupts}

    @property
    def running(self) -> list[str]:
        """The runs that go on."""
        return [run for run, one in list(self._going.items()) if not one.interrupts]

    def find(self, run: str) -> Going | None:
        """The run, while it goes on or waits."""
        return self._going.get(run)

    async def begin(
        self,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        given: Any,
        config: RunnableConfig,
        *,
        context: Any = None,
        run: str | None = None,
    ) -> str:
        """Start a run, and give its id as soon as it is in the log. `run` is its id, where that is known before.

        Raises what the graph raises before it begins, and `Problem` (429) where too many are under way.
        """
        key = run or uuid.uuid4().hex
        thread = {"thread_id": uuid.uuid4().hex, **config.get("configurable", {})}
        going = Going(graph, {**config, "configurable": thread}, asyncio.get_running_loop().create_future())
        self._check()
        self._going[key] = going
        going.task = asyncio.create_task(self._go(key, going, given, context))
        return await asyncio.shield(going.begun)

    def resume(self, run: str, going: Going, said: Mapping[str, Any], interrupt: str | None) -> None:
        """Answer what the run waits for, or one of that; it goes on. Raises `Problem`."""
        from langgraph.types import Command

        asked = [one for one in going.interrupts if interrupt in (None, one.id)]
        if not asked:
            raise Problem(409, "This run does not wait for that; load the page again.")
        self._check()
        going.interrupts = ()
        self._going[run] = going
        command: Command[Any] = Command(resume={one.id: dict(said) for one in asked})
        going.task = asyncio.create_task(self._go(run, going, command, None))

    def taken_over(
        self,
        run: str,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        config: RunnableConfig,
        interrupts: Sequence[Interrupt],
    ) -> Going:
        """A run that waits, and that somebody else began."""
        begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        begun.set_result(run)
        return Going(graph, config, begun, interrupts)

    def close(self) -> None:
        """Cancel what is under way, from any thread."""
        for one in self._going.values():
            if one.task is not None and not one.task.done():
                with contextlib.suppress(RuntimeError):  # its event loop has gone, and the task with it
                    one.task.get_loop().call_soon_threadsafe(one.task.cancel)

    def _check(self) -> None:
        if len(self.running) >= self._at_once:
            raise Problem(429, f"{self._at_once} runs are under way already; wait until one has ended.")

    async def _go(self, key: str, going: Going, given: Any, context: Any) -> None:
        try:
            async for update in going.graph.astream(given, going.config, context=context, stream_mode="updates"):
                going.interrupts = tuple(update.get("__interrupt__", ()))
                if not going.begun.done():
                    key = self._begun(key, going, update)
                if going.interrupts:
                    self._tell({key})  # nothing of it is in the log
        except asyncio.CancelledError:
            going.begun.cancel()
            raise
        except Exception as error:
            if going.begun.done():
                _logger.warning("The run %s broke off (%s: %s).", key, type(error).__name__, error)
            else:
                going.begun.set_exception(error)
        finally:
            if not going.interrupts:
                self._going.pop(key, None)

    def _begun(self, key: str, going: Going, update: Mapping[str, Any]) -> str:
        """The run's id, which its first node tells when the recorder has heard it."""
        told = next((one["turn"] for one in update.values() if isinstance(one, Mapping) and "turn" in one), None)
        if told is None:
            return key
        self._going[told] = self._going.pop(key)
        going.begun.set_result(told)
        return str(told)
