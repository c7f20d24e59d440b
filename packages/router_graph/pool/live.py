"""What the pool learnt of a model from its own calls: how fast, how dear, and whether it works at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_WEIGHT = 0.2
"""Of the newest call in the moving averages (EWMA)."""


class Live:
    """One model's moving averages, and its circuit breaker.

    After `failures` failures in a row the breaker opens: for `open_s` seconds nobody asks the model. Then one call
    tries it: success closes the breaker, failure opens it again.
    """

    def __init__(self, *, failures: int = 3, open_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds: float | None = None
        """A call that succeeded, in seconds."""
        self.usd: float | None = None
        """A call that succeeded, in USD."""
        self.calls = 0
        self.failed = 0
        self._limit, self._open_s, self._clock = failures, open_s, clock
        self._in_a_row = 0
        self._closed_at = 0.0
        self._trial: int | None = None
        """The call that tries the model out, of which alone the end is the end of the trial."""
        self._lock = threading.Lock()

    def wait_s(self) -> float:
        """Seconds until the model may be asked; 0 is now."""
        with self._lock:
            return self._left_s()

    def begin(self, call: int = 0) -> float:
        """A call is sent, unless the model may not be asked; the seconds until it may, 0 for a call that begins.

        `call` is a number of its own, which its end gives again.
        """
        with self._lock:
            if (wait_s := self._left_s()) > 0:
                return wait_s
            self.calls += 1
            if self._in_a_row >= self._limit:
                self._trial = call
            return 0.0

    def succeeded(self, seconds: float, usd: float) -> None:
        """A call was answered."""
        with self._lock:
            self.seconds = seconds if self.seconds is None else self.seconds + _WEIGHT * (seconds - self.seconds)
            self.usd = usd if self.usd is None else self.usd + _WEIGHT * (usd - self.usd)
            self._in_a_row, self._closed_at, self._trial = 0, 0.0, None

    def failed_with(self, *, ill: bool, retry_after_s: float | None = None, call: int = 0) -> None:
        """A call failed; `ill` says that the model is to blame and not the request."""
        with self._lock:
            self.failed += 1
            self._end_trial(call)
            self._in_a_row += ill
            if ill and self._in_a_row >= self._limit:
                self._closed_at = self._clock() + self._open_s
            if retry_after_s is not None:
                self._closed_at = max(self._closed_at, self._clock() + retry_after_s)

    def gave_up(self, call: int = 0) -> None:
        """A call was cancelled: neither success nor failure."""
        with self._lock:
            self._end_trial(call)

    def _end_trial(self, call: int) -> None:
        if self._trial == call:
            self._trial = None

    def _left_s(self) -> float:
        left = self._closed_at - self._clock()
        if left <= 0 and self._in_a_row >= self._limit and self._trial is not None:
            return self._open_s  # somebody is trying it out already
        return max(0.0, left)
