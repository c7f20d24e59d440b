"""How the tokens of one reply are chosen, and when the reply ends."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mote_backend.grammar.grammar import Constraint
from mote_backend.validation import refusal

MOST_TOP_LOGPROBS = 20


class Sampling(BaseModel):
    """One request's own way of sampling; requests that differ in it still share a forward pass.

    The order is that of transformers: constraint, repetition penalty, temperature, top-k, top-p, min-p.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """0 takes the most likely token."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    """0: all tokens."""
    min_p: float = Field(default=0.0, ge=0, le=1)
    """The least probability, as a share of the most likely token's (arXiv 2407.01082)."""
    repetition_penalty: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Above 1 makes the tokens of the prompt and the reply less likely (arXiv 1909.05858)."""
    max_tokens: int | None = Field(default=1024, ge=1)
    """None: what the context has room for."""
    stop: tuple[str, ...] = ()
    """The reply ends before the first of these texts; they may straddle tokens."""
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    """Equal seeds give equal replies, whatever else runs in the batch, as far as the model's own numbers are equal."""
    top_logprobs: int = Field(default=0, ge=0, le=MOST_TOP_LOGPROBS)
    """How many of the most likely tokens are told at each place."""
    constraint: Constraint | None = None
    """What the reply is held to, such as a JSON schema."""

    @field_validator("stop", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given or ()

    @field_validator("stop")
    @classmethod
    def _no_empty(cls, stops: tuple[str, ...]) -> tuple[str, ...]:
        if "" in stops:
            raise ValueError("a stop text is empty")
        return stops

    @classmethod
    def of(cls, **given: Any) -> Self:
        """The same as calling the class, but a bad value raises InputError with one sentence."""
        try:
            return cls(**given)
        except ValidationError as error:
            raise refusal(error) from None
