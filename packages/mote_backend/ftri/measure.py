"""What a mask does, as two numbers, and whatever can tell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mote_backend.mask import ExpertMask


@dataclass(frozen=True)
class Measured:
    """What one mask does."""

    behaviour: float
    """Mean over the prompts that show it, 0 to 1."""
    drift: float
    """Mean KL divergence (nats) of the first token's distribution on harmless prompts from that without a mask."""


class Measure(Protocol):
    """Measures masks, in their order; None is the model as it is."""

    def __call__(self, masks: Sequence[ExpertMask | None]) -> list[Measured]: ...
