"""A model as the pool calls it and as a policy reads it: what it costs, what it can do, how well it did."""

from __future__ import annotations

import datetime
import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from router_graph.errors import CardError, UnknownPriceError
from router_graph.money import usd
from router_graph.pool import litellm_prices
from router_graph.pool.live import Live
from router_graph.pool.params import refusal, secret_in
from router_graph.pool.price import Price, Usage
from router_graph.validation import Settings

Privacy = Literal["local", "private", "external"]
"""Who sees what is sent: nobody outside this machine, a provider bound to keep nothing, or anybody's provider."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@/-]{0,63}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
"""The name of an environment variable; with small letters or dashes it rather is a key, put in the wrong place."""

TYPICAL = (500, 200)
"""Tokens in and out of the call that a card's example price is for, until calls were measured."""


class Measured(BaseModel):
    """How well a model did, on what and when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    right: int = Field(ge=0)
    asked: int = Field(gt=0)
    on: str
    """The tasks, as in "probe tasks" or "NQ dev"."""
    date: datetime.date
    seconds: float | None = Field(default=None, ge=0)
    """The median call."""
    summary: str = ""
    """What it was right and wrong on, in words."""

    @property
    def accuracy(self) -> float:
        """The share that was right."""
        return self.right / self.asked


class ModelCard(Settings):
    """One model of the pool. Raises `CardError`."""

    mistake = CardError

    name: str
    """What policies and users call it."""
    model: str = ""
    """The transport's id of it, for LiteLLM as in "openai/gpt-4o-mini"; the name if left out."""
    transport: str = "litellm"
    price: Price | None = None
    """Left out where LiteLLM's own map knows the model."""
    ceiling: Price | None = None
    """Where the price is unknown: what it certainly does not exceed. Calls are booked at what the reply says that they
    cost, in `usage.cost`, as those of `polyroute serve` and OpenRouter do; else at this, marked as estimated."""
    context: int | None = Field(default=None, gt=0)
    """The longest input, in tokens."""
    max_tokens: int = Field(default=1024, gt=0)
    """The longest reply, in tokens, where the caller does not say. Always sent: it bounds what a call can cost."""
    image_tokens: int = Field(default=5000, ge=0)
    """The most that one image takes of the input, in tokens."""
    tools: bool | None = None
    vision: bool | None = None
    strengths: str = ""
    """What to ask it, in words."""
    measured: Measured | None = None
    privacy: Privacy = "external"
    concurrency: int = Field(default=8, gt=0)
    """Calls side by side; more wait their turn."""
    timeout_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """The longest wait for a reply, in seconds."""
    api_base: str | None = None
    """A server of your own. It gets no key but that of `api_key_env`."""
    api_key_env: str | None = None
    """The environment variable with the key, where it is not the provider's usual one."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Sent with every call, as in {temperature: 0}."""
    mask: str | None = Field(default=None, min_length=1)
    """The expert mask that every call carries, by its name or id: two cards can be one model, with and without it. For
    what takes `mote_mask`: a `ChatMoTE`, LiteLLM's provider `mote`, or a server of `polyroute mote serve`."""

    @classmethod
    def named(cls, data: Any, problem: str) -> str:
        """The problem, with the card's name."""
        name = data.get("name") if isinstance(data, dict) else None
        return f"The card {name!r}: {problem}" if isinstance(name, str) else f"A model card: {problem}"

    def problem(self) -> str | None:
        """What is wrong between fields, if anything."""
        if not _NAME.fullmatch(self.name):
            return "a name has up to 64 letters, digits and . _ @ / -, and begins with a letter or digit."
        if self.api_key_env is not None and not _VARIABLE.fullmatch(self.api_key_env):
            return "api_key_env must name an environment variable, such as OPENAI_API_KEY; if it is a key, revoke it."
        if self.api_base is not None and not self.api_base.startswith(("http://", "https://")):
            return f"api_base is {self.api_base!r}; it must begin with http:// or https://."
        if "max_tokens" in self.params:
            return "max_tokens is a field of the card itself, beside params."
        if self.mask is not None and "mote_mask" in self.params:
            return "mote_mask in params is the same as the field mask; keep one of them."
        if where := secret_in(self.params):
            return f"{where} would put a secret in a file; name its environment variable in api_key_env."
        if reason := refusal(self.params):
            return f"in params, {reason}"
        if self.price is not None and self.ceiling is not None:
            return "it has a price and a ceiling; the ceiling is for a model whose price is unknown."
        return None

    @property
    def id(self) -> str:
        """What the transport calls the model."""
        return self.model or self.name

    @property
    def sent(self) -> dict[str, Any]:
        """What goes with every call: the parameters, and the mask."""
        return self.params if self.mask is None else {**self.params, "mote_mask": self.mask}

    @property
    def payable(self) -> Price:
        """The price that calls are booked at: the price, or else the ceiling. Raises `UnknownPriceError`."""
        price = self.price or self.ceiling
        if price is None:
            raise UnknownPriceError(
                f"Nobody knows what {self.name!r} costs; add `price: {{input: …, output: …}}` in USD per million "
                f"tokens to its card, `price: free`, or a `ceiling:` that it certainly does not exceed.{self._hint()}"
            )
        return price

    def _hint(self) -> str:
        """Why the price is unknown, where LiteLLM's map tells or nearly tells it."""
        if self.transport != "litellm":
            return ""
        known = litellm_prices.known(self.id)
        if known is not None:
            return f" (LiteLLM's map has none: {known.unpriced}.)" if known.unpriced else ""
        near = litellm_prices.nearest(self.id) if self.api_base is None else []
        return f" Or did you mean {' or '.join(near)}?" if near else ""

    def completed(self) -> Self:
        """The card with what LiteLLM's map knows of the model where the card is silent."""
        known = litellm_prices.known(self.id) if self.transport == "litellm" else None
        if known is None:
            return self
        found: dict[str, Any] = {"context": known.context, "tools": known.tools, "vision": known.vision}
        if self.price is None and self.ceiling is None:
            found["price"] = known.price
        missing = {key: value for key, value in found.items() if getattr(self, key) is None and value is not None}
        return self.model_copy(update=missing)

    def describe(self, live: Live | None = None) -> str:
        """The card as a policy reads it: one short line with the numbers that hold now."""
        facts = [self._money(live), self._speed(live)]
        if self.context:
            facts.append(f"context {self.context:,} tokens")
        facts += [word for word, can in (("tools", self.tools), ("vision", self.vision)) if can]
        if self.privacy != "external":
            facts.append(self.privacy)
        mask = self.mask or self.params.get("mote_mask")
        if isinstance(mask, str):
            facts.append(f"expert mask {' '.join(mask.split())}")
        if self.measured:
            facts.append(f"{self.measured.right} of {self.measured.asked} right on {self.measured.on}")
        words = f"{self.strengths} {self.measured.summary if self.measured else ''}".split()
        return " ".join([f"{self.name}: {', '.join(fact for fact in facts if fact)}.", *words])

    def _money(self, live: Live | None) -> str:
        price = self.price or self.ceiling
        if price is None:
            return "price unknown"
        if price.is_free:
            return "free"
        if live is not None and live.usd is not None:
            call = f"{usd(live.usd)} a call lately"
        else:
            call = f"{usd(price.cost(Usage(*TYPICAL)) / 10**12)} for {TYPICAL[0]} tokens in and {TYPICAL[1]} out"
        most = "" if self.price else "at most "
        rates = f"{most}{usd(price.input)} in / {usd(price.output)} out per million tokens"
        return f"{rates}, {call}"

    def _speed(self, live: Live | None) -> str:
        seconds = live.seconds if live is not None else None
        if seconds is None and self.measured:
            seconds = self.measured.seconds
        return "" if seconds is None else f"{seconds:.2g} s a call"
