"""What a call costs: the tokens that it used, at the rates of its model, in whole picodollars.

The arithmetic is exact: rates are read as the decimal numbers that they are written as, and a cost is rounded once.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Annotated, Any, Self

from langchain_core.messages.ai import UsageMetadata
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from router_graph.budget import PICO
from router_graph.errors import CardError
from router_graph.validation import Settings


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one call. Raises `ValueError` where a count is below 0 or a part exceeds its whole."""

    input: int = 0
    """All of the input, cached or not."""
    output: int = 0
    """All of the output, reasoning included."""
    cached: int = 0
    """Of the input, what was read from the provider's cache."""
    cache_written: int = 0
    """Of the input, what was written to the provider's cache."""
    reasoning: int = 0
    """Of the output, what the model thought and did not say."""
    estimated: bool = False
    """True where the provider did not say, and we counted."""

    def __post_init__(self) -> None:
        counts = (self.input, self.output, self.cached, self.cache_written, self.reasoning)
        if any(type(count) is not int or count < 0 for count in counts):
            raise ValueError(f"A usage is counted in whole tokens, 0 or more; {self} is not.")
        if self.cached + self.cache_written > self.input or self.reasoning > self.output:
            raise ValueError(
                f"`input` includes what was cached and `output` what was reasoned, so {self} cannot be; "
                "give the totals of each."
            )

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input + self.output

    def as_dict(self) -> dict[str, int]:
        """Plain data, for a checkpoint or a log."""
        return asdict(self)

    def as_metadata(self) -> UsageMetadata:
        """As LangChain writes it in `usage_metadata`."""
        return UsageMetadata(
            input_tokens=self.input,
            output_tokens=self.output,
            total_tokens=self.tokens,
            input_token_details={"cache_read": self.cached, "cache_creation": self.cache_written},
            output_token_details={"reasoning": self.reasoning},
        )

    @classmethod
    def of_metadata(cls, usage_metadata: Mapping[str, Any] | None) -> Self | None:
        """The usage that LangChain's `usage_metadata` reports; None where it reports none that can be true.

        A cache write that lives for an hour has a price of its own that `Rates` does not hold: also None.
        """
        if not usage_metadata or not usage_metadata.get("total_tokens", 1):
            return None  # zeros are what a client fills in that was told nothing
        into, out = usage_metadata.get("input_token_details") or {}, usage_metadata.get("output_token_details") or {}
        if not (isinstance(into, Mapping) and isinstance(out, Mapping)) or into.get("ephemeral_1h_input_tokens"):
            return None
        written = (into.get("cache_creation", 0), into.get("ephemeral_5m_input_tokens", 0))
        if any(type(count) is not int or count < 0 for count in written):
            return None
        try:
            return cls(
                input=usage_metadata["input_tokens"],
                output=usage_metadata["output_tokens"],
                cached=into.get("cache_read", 0),
                # langchain-anthropic names the five-minute writes apart, and then `cache_creation` is 0 or the same.
                cache_written=max(written),
                reasoning=out.get("reasoning", 0),
            )
        except (KeyError, ValueError):
            return None


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a price is a number of USD, such as 0.15, and not yes or no")
    return value


Usd = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_number)]
"""An amount of US dollars: 0 or more, and finite."""


class Rates(BaseModel):
    """USD per million tokens, by kind of token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Usd
    output: Usd
    cached: Usd | None = None
    """Input read from the provider's cache; None is as `input`."""
    cache_written: Usd | None = None
    """Input written to the provider's cache; None is as `input`."""
    reasoning: Usd | None = None
    """Output that is reasoning; None is as `output`."""


class Price(Rates, Settings):
    """What a model asks for. In YAML, `{input: 0.15, output: 0.6}` or `free`. Raises `CardError`."""

    mistake = CardError

    per_call: Usd = 0.0
    """USD for each call, whatever it holds."""
    tiers: dict[Annotated[int, Field(gt=0)], Rates] = Field(default_factory=dict)
    """Above so many input tokens the whole call, output too, is at these rates. A kind of token that a tier leaves
    out keeps the rate it has below the tier; if it has none there either, it is billed as the tier's `input` or
    `output`. LiteLLM's cost calculator does the same with `..._above_200k_tokens`."""
    date: datetime.date | None = None
    """The day at which the price was known."""
    source: str = "given"
    """Who says so."""

    @classmethod
    def named(cls, data: Any, problem: str) -> str:
        """The problem, with a word on whose it is."""
        return f"the price: {problem}"

    @model_validator(mode="before")
    @classmethod
    def _free(cls, given: Any) -> Any:
        if given == "free":
            return {"input": 0.0, "output": 0.0}
        if not isinstance(given, (Mapping, Price)):
            raise ValueError(
                f"a price is `free` or USD per million tokens, such as {{input: 0.15, output: 0.6}}, and not {given!r}"
            )
        return given

    @property
    def is_free(self) -> bool:
        """Whether no call can cost anything."""
        return self.worst_case(10**9, 10**9) == 0

    def cost(self, usage: Usage) -> int:
        """What a call with this usage costs, in whole picodollars, half a picodollar rounded up."""
        call, plain, said, cached, written, reasoned, unit = _exact(self.per_call, *self._rates_at(usage.input))
        amount = (
            call
            + (usage.input - usage.cached - usage.cache_written) * plain
            + usage.cached * cached
            + usage.cache_written * written
            + (usage.output - usage.reasoning) * said
            + usage.reasoning * reasoned
        )
        return (2 * amount + unit) // (2 * unit)

    def worst_case(self, input_tokens: int, output_tokens: int) -> int:
        """The most that a call with up to so many tokens can cost, in whole picodollars."""
        # A tier need not be dearer than the one below it, so every tier that the call can fall in counts, at its
        # fullest.
        fullest = [tier for tier in sorted(self.tiers) if tier < input_tokens] + [input_tokens]
        return max(self._dearest(most, output_tokens) for most in fullest)

    def _dearest(self, input_tokens: int, output_tokens: int) -> int:
        call, plain, said, cached, written, reasoned, unit = _exact(self.per_call, *self._rates_at(input_tokens))
        amount = call + input_tokens * max(plain, cached, written) + output_tokens * max(said, reasoned)
        return (2 * amount + unit) // (2 * unit)

    def _rates_at(self, input_tokens: int) -> tuple[float, float, float | None, float | None, float | None]:
        plain, said, cached, written, reasoned = (
            self.input,
            self.output,
            self.cached,
            self.cache_written,
            self.reasoning,
        )
        for threshold in sorted(self.tiers):
            if input_tokens <= threshold:
                break
            tier = self.tiers[threshold]
            plain, said = tier.input, tier.output
            cached = cached if tier.cached is None else tier.cached
            written = written if tier.cache_written is None else tier.cache_written
            reasoned = reasoned if tier.reasoning is None else tier.reasoning
        return plain, said, cached, written, reasoned


@lru_cache(maxsize=4096)
def _exact(
    per_call: float,
    plain: float,
    said: float,
    cached: float | None,
    written: float | None,
    reasoned: float | None,
) -> tuple[int, int, int, int, int, int, int]:
    """The price of a call and of a token of each kind as whole units, and how many units are a picodollar."""
    # Kept by value, not in the price itself: `model_copy` would carry a price's cache over to other rates.
    per_token = (plain, said, plain if cached is None else cached, plain if written is None else written)
    pico = [Fraction(str(per_call)) * PICO]
    pico += [Fraction(str(rate)) * PICO / 10**6 for rate in (*per_token, said if reasoned is None else reasoned)]
    unit = lcm(*(amount.denominator for amount in pico))
    call, *tokens = (int(amount * unit) for amount in pico)
    return call, tokens[0], tokens[1], tokens[2], tokens[3], tokens[4], unit
