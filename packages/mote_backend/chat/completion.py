"""What a request to the engine is, and what comes back: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mote_backend.chat.sampling import Sampling
    from mote_backend.mask import ExpertMask

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Request:
    """One prompt to continue."""

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    mask: ExpertMask | None = None
    """None: the model as it is."""
    skip_special_tokens: bool = True
    """False keeps special tokens in the text, for a parser of tool calls; the one that ends the reply never shows."""


@dataclass(frozen=True)
class Token:
    """A token that was sampled."""

    id: int
    logprob: float
    """Natural logarithm of its probability among those that could be sampled: after constraint, penalty, temperature
    and truncation. At temperature 0, where nothing is drawn, temperature and truncation are left out."""
    top: tuple[tuple[int, float], ...] = ()
    """The most likely tokens at this place and their log-probabilities, best first."""


@dataclass(frozen=True)
class Piece:
    """A part of a reply as it grows: the tokens are those sampled since the last piece, not those of the text."""

    text: str
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class Completion:
    """A whole reply."""

    text: str
    """Without the stop text that ended it."""
    tokens: tuple[Token, ...]
    """All that were sampled, with the end-of-sequence token or those of the stop text, if that is how it ended."""
    prompt_ids: tuple[int, ...]
    finish_reason: FinishReason
    stop: str | None = None
    """The stop text that ended it."""
    ended: bool = False
    """The last token is an end-of-sequence token."""
