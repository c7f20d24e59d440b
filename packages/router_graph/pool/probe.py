"""What a model is good at, found out by asking: a few tasks whose answers a program can check."""

from __future__ import annotations

import asyncio
import datetime
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from router_graph.errors import (
    AuthenticationError,
    CardError,
    ContentRefusedError,
    ModelConnectionError,
    ModelNotFoundError,
    ModelTimeoutError,
    ReplyTooLongError,
    RequestRejectedError,
    RouterError,
)
from router_graph.ledger import Ledger
from router_graph.pool.card import Measured
from router_graph.pool.pool import ModelPool
from router_graph.pool.probe_tasks import PROBES, Probe
from router_graph.pool.reply import Reply

ON = "probe tasks"
"""What a card says that it was measured on."""

_HOPELESS = (AuthenticationError, ModelNotFoundError, ModelConnectionError, ModelTimeoutError)
"""Where the first task ends so, the others would too, and a timeout is booked at the worst case each time."""
_OWN_FAULT = (ContentRefusedError, ReplyTooLongError)
"""The model was asked and did not do the task: that is a wrong answer."""
_THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What became of one task."""

    kind: str
    right: bool | None
    """None where there was no answer to judge."""
    said: str = ""
    tokens: int | None = None
    """Of the reply, where they are known."""
    seconds: float | None = None
    error: str | None = None
    """Why there was no answer."""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """How a model did."""

    name: str
    results: tuple[ProbeResult, ...]

    @property
    def asked(self) -> int:
        """How many tasks were answered, right or wrong."""
        return sum(result.right is not None for result in self.results)

    @property
    def right(self) -> int:
        """How many were answered right."""
        return sum(result.right is True for result in self.results)

    @property
    def is_enough(self) -> bool:
        """Whether at least half of the tasks were answered; of less, nothing follows."""
        return 2 * self.asked >= len(self.results)

    @property
    def seconds(self) -> float | None:
        """The median call, in seconds."""
        took = [result.seconds for result in self.results if result.seconds is not None]
        return round(statistics.median(took), 3) if took else None

    @property
    def summary(self) -> str:
        """The results in words, for whoever must choose a model."""
        facts = [f"{verdict} on {', '.join(kinds)}" for verdict, kinds in self._by_verdict() if kinds]
        replies = [result.tokens for result in self.results if result.tokens is not None]
        if replies:
            typical = round(statistics.median(replies))
            facts.append(f"typical reply {typical} token{'' if typical == 1 else 's'}")
        if missing := len(self.results) - self.asked:
            facts.append(f"{missing} of {len(self.results)} without an answer")
        text = "; ".join(facts) + "."
        return text[:1].upper() + text[1:]

    def measured(self, date: datetime.date | None = None) -> Measured:
        """The results as a card holds them, of today if no date is given. Raises `CardError` for too few."""
        if not self.is_enough:
            raise CardError(f"{self.name!r} answered {self.asked} of {len(self.results)} tasks; that is too few.")
        return Measured(
            right=self.right,
            asked=self.asked,
            on=ON,
            date=date or datetime.date.today(),
            seconds=self.seconds,
            summary=self.summary,
        )

    def _by_verdict(self) -> list[tuple[str, list[str]]]:
        def kinds(right: bool) -> list[str]:
            return [result.kind for result in self.results if result.right is right]

        return [("right", kinds(True)), ("wrong", kinds(False))]


async def probe(
    pool: ModelPool,
    name: str,
    *,
    ledger: Ledger | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    probes: Sequence[Probe] | None = None,
) -> ProbeReport:
    """Ask the model the tasks (`PROBES`), never a fallback, at temperature 0 where it takes one.

    `on_progress` hears how many tasks are done, of how many. A task that fails is reported and ends nothing.
    Raises `UnknownModelError`.
    """
    probes = PROBES if probes is None else probes
    # A temperature of the card's own is how the model will be asked.
    params: dict[str, Any] = {} if "temperature" in pool.card(name).params else {"temperature": 0}
    account, done = ledger or Ledger(), 0

    def tell() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, len(probes))

    async def ask(task: Probe) -> ProbeResult | RouterError:
        try:
            return _judged(task, await pool.ainvoke(name, task.question, ledger=account, fallbacks=(), **params))
        except RouterError as error:
            return error

    async def ask_and_tell(task: Probe) -> ProbeResult:
        result = _reported(task, await ask(task))
        tell()
        return result

    # The first goes alone: it finds out what the model takes, and connects.
    first = await ask(probes[0])
    if isinstance(first, RequestRejectedError) and params:
        params = {}
        first = await ask(probes[0])
    tell()
    if isinstance(first, _HOPELESS):
        return ProbeReport(name, tuple(_reported(task, first) for task in probes))
    rest = await asyncio.gather(*map(ask_and_tell, probes[1:]))
    return ProbeReport(name, (_reported(probes[0], first), *rest))


def _reported(task: Probe, outcome: ProbeResult | RouterError) -> ProbeResult:
    if isinstance(outcome, ProbeResult):
        return outcome
    return ProbeResult(task.kind, False if isinstance(outcome, _OWN_FAULT) else None, error=str(outcome))


def _judged(task: Probe, reply: Reply) -> ProbeResult:
    said = _THOUGHTS.sub("", reply.text).strip()
    usage = reply.usage
    return ProbeResult(
        task.kind,
        task.passes(said),
        said,
        tokens=None if usage is None else usage.output,
        seconds=None if reply.cached else reply.seconds,
    )
