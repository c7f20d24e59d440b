"""What may be spent: amounts of money, tokens, calls and time, and the limits that a run keeps to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field

from router_graph.errors import BudgetError
from router_graph.validation import Settings

PICO = 10**12
"""Money is counted in whole picodollars (10⁻¹² USD): sums are exact in any order, and a price of 0.000001 USD per
million tokens still counts."""


def picodollars(usd: float) -> int:
    """USD as whole picodollars."""
    return round(usd * PICO)


@dataclass(frozen=True, slots=True)
class Amount:
    """What a call takes, at the most or in fact. Exact: whole picodollars, tokens, calls and milliseconds."""

    picousd: int = 0
    tokens: int = 0
    calls: int = 0
    milliseconds: int = 0
    """Time spent in calls, added up; calls side by side count each."""

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.picousd + other.picousd,
            self.tokens + other.tokens,
            self.calls + other.calls,
            self.milliseconds + other.milliseconds,
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.picousd - other.picousd,
            self.tokens - other.tokens,
            self.calls - other.calls,
            self.milliseconds - other.milliseconds,
        )

    @property
    def usd(self) -> float:
        """The money in USD, for people."""
        return self.picousd / PICO

    def as_dict(self) -> dict[str, int]:
        """Plain data, for a checkpoint."""
        return {
            "picousd": self.picousd,
            "tokens": self.tokens,
            "calls": self.calls,
            "milliseconds": self.milliseconds,
        }

    @classmethod
    def of(cls, *, usd: float = 0.0, tokens: int = 0, calls: int = 0, seconds: float = 0.0) -> Self:
        """An amount in the units that people use."""
        return cls(picodollars(usd), tokens, calls, round(1000 * seconds))


class Budget(Settings):
    """The limits of a run; None is no limit. `answer_*` is kept back from all calls but those with
    `purpose="answer"`.

    Raises `BudgetError`.
    """

    mistake = BudgetError

    usd: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    tokens: int | None = Field(default=None, gt=0)
    calls: int | None = Field(default=None, gt=0)
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds spent in calls, added up. A call reserves up to its `timeout_s` of what is left, and is cut off there; so
    where little is left, parallel calls come one after the other."""
    answer_usd: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """USD that only the answer may use, so that a run can always end with one."""
    answer_tokens: int = Field(default=0, ge=0)
    answer_calls: int = Field(default=0, ge=0)

    def problem(self) -> str | None:
        """What is wrong between fields, if anything."""
        for field in ("usd", "tokens", "calls"):
            limit, kept = getattr(self, field), getattr(self, f"answer_{field}")
            if limit is not None and kept > limit:
                return f"answer_{field} is {kept:g}, more than {field} ({limit:g}) holds."
        return None

    @classmethod
    def named(cls, data: Any, problem: str) -> str:
        """The problem, with a word on whose it is."""
        return f"This budget cannot be kept: {problem}"

    def limits(self, *, for_answer: bool) -> dict[str, int | None]:
        """The limit of each field of `Amount`, without the answer's reserve where the call is not the answer."""

        def less(limit: int | None, kept: int) -> int | None:
            return None if limit is None else limit - (0 if for_answer else kept)

        return {
            "picousd": less(None if self.usd is None else picodollars(self.usd), picodollars(self.answer_usd)),
            "tokens": less(self.tokens, self.answer_tokens),
            "calls": less(self.calls, self.answer_calls),
            "milliseconds": None if self.seconds is None else round(1000 * self.seconds),
        }
