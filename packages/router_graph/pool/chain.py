"""Whom to ask next: down the fallbacks at once, and only then, after a pause, the same models again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence

from router_graph.errors import AllModelsFailedError, BudgetExceededError, ModelError, ModelRestingError, RouterError
from router_graph.pool.live import Live

_PAUSE_S = 0.5
"""Before the first repetition; doubled before each further one."""
_LONGEST_PAUSE_S = 30.0


class Deadline:
    """When a whole call, with its queues, fallbacks and repetitions, has to be over."""

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether it has passed."""
        return self._at is not None and time.monotonic() >= self._at

    def left_s(self, at_most: float) -> float:
        """Seconds left, not more than `at_most`, never below 0."""
        return at_most if self._at is None else max(0.0, min(at_most, self._at - time.monotonic()))


class Chain:
    """The models of one call in the order in which they are asked, and what became of each."""

    def __init__(self, names: Sequence[str], live: Mapping[str, Live], *, retries: int, deadline: Deadline) -> None:
        self.failures: list[tuple[str, RouterError]] = []
        self._asked = names[0]
        self._names = list(dict.fromkeys(names))
        self._live = live
        self._deadline = deadline
        self._rounds_left = retries
        self._pause_s = _PAUSE_S
        self._round = list(self._names)

    @property
    def first(self) -> str:
        """The model that was asked for."""
        return self._asked

    async def next(self) -> str:
        """The model to ask. Raises what went wrong when nobody is left to ask."""
        while True:
            if self.failures and self._deadline.is_over:
                raise self._error()
            while self._round:
                name = self._round.pop(0)
                if (wait_s := self._live[name].wait_s()) == 0:
                    return name
                self.failures.append((name, resting(name, wait_s)))
            await self._begin_again()

    def failed(self, name: str, error: ModelError | BudgetExceededError) -> None:
        """The model failed. Raises the error where asking anybody else is no use."""
        self.failures.append((name, error))
        if isinstance(error, ModelError) and not error.elsewhere:
            raise error
        if isinstance(error, BudgetExceededError) or not error.again:
            self._names.remove(name)

    async def _begin_again(self) -> None:
        pause_s = self._pause_s * random.uniform(0.5, 1.0)
        if self._names:
            pause_s = max(pause_s, min(self._live[name].wait_s() for name in self._names))
        allowed_s = self._deadline.left_s(at_most=_LONGEST_PAUSE_S)
        if not self._names or self._rounds_left < 1 or pause_s >= allowed_s:
            raise self._error()
        self._rounds_left -= 1
        self._pause_s *= 2
        await asyncio.sleep(pause_s)
        self._round = list(self._names)

    def _error(self) -> RouterError:
        errors = [error for _, error in self.failures]
        if len({name for name, _ in self.failures}) == 1:
            return next((error for error in reversed(errors) if not isinstance(error, ModelRestingError)), errors[-1])
        if all(isinstance(error, BudgetExceededError) for error in errors):
            return errors[0]
        return AllModelsFailedError(f"No model answered. {' '.join(dict.fromkeys(map(str, errors)))}", errors)


def resting(name: str, wait_s: float) -> ModelRestingError:
    """The error of a model whose breaker is open."""
    return ModelRestingError(
        f"{name!r} rests for another {wait_s:.3g} s, as its last calls failed.", retry_after_s=wait_s
    )
