"""Which model a mask was made for: the shape of its routers, and a digest of their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mote_backend.errors import MaskError

_MOST_LAYERS = 10_000
"""Of a fingerprint that is read: no model has as many, and a file may claim any number."""


@dataclass(frozen=True)
class Fingerprint:
    """The shape that a mask must fit, and what tells one checkpoint of this shape from another."""

    model_type: str
    """`config.model_type`, such as "qwen3_moe"."""
    experts: tuple[int, ...]
    """Experts that a token can be sent to, for each routed layer."""
    top_k: tuple[int, ...]
    """Experts that a token is sent to, for each routed layer."""
    weights: str | None = None
    """12 hex digits over the routers' weights in bfloat16, so that fp32 and bf16 copies of a checkpoint agree.
    None: unknown."""

    @property
    def layers(self) -> int:
        """Routed layers."""
        return len(self.experts)

    def same_shape(self, other: Fingerprint) -> bool:
        """A mask for one can be applied to the other."""
        return (self.model_type, self.experts, self.top_k) == (other.model_type, other.experts, other.top_k)

    def __str__(self) -> str:
        def said(values: tuple[int, ...]) -> str:
            return str(values[0]) if len(set(values)) == 1 else "/".join(map(str, values))

        experts, top_k = said(self.experts), said(self.top_k)
        return f"{self.model_type} with {self.layers} routed layers of {experts} experts, top {top_k}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; layers that are all alike are written as one number."""
        data: dict[str, Any] = {
            "type": self.model_type,
            "layers": self.layers,
            "experts": _short(self.experts),
            "top_k": _short(self.top_k),
        }
        return data if self.weights is None else {**data, "weights": self.weights}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fingerprint:
        """The reverse of `to_json`; MaskError if it is not one."""
        try:
            kind, layers, weights = data["type"], data["layers"], data.get("weights")
            plain = isinstance(kind, str) and isinstance(weights, str | None)
            if plain and type(layers) is int and 0 < layers <= _MOST_LAYERS:
                return cls(kind, _long(data["experts"], layers), _long(data["top_k"], layers), weights)
        except (AttributeError, KeyError, TypeError, ValueError):
            pass
        raise MaskError("The mask's 'model' is no fingerprint; it needs 'type', 'layers', 'experts' and 'top_k'.")


def _short(values: tuple[int, ...]) -> int | list[int]:
    return values[0] if len(set(values)) == 1 else list(values)


def _long(values: int | Sequence[int], layers: int) -> tuple[int, ...]:
    several = (values,) * layers if isinstance(values, int) else tuple(values)
    if len(several) != layers or not all(type(one) is int and one > 0 for one in several):
        raise ValueError
    return several
