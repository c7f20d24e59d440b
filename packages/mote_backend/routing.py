"""A router's own forward, run with some experts off, on or biased.

A `TorchFunctionMode` that is active only inside the router sees the two places where a mask acts: the product that
gives the logits, and every top-k over the experts. The family's own formula runs between and after them.

- logits: off becomes -inf, on becomes the highest of those alive plus a little, a bias is added;
- selection scores: off becomes -inf, which a correction bias or a group's score cannot lift again, on becomes +inf, and
  what a family itself excluded (experts of groups that lost) stays above off. The values that a top-k returns are
  those of the scores that it was given.

So "off" equals the model with these experts deleted (mote.md 3.4 and 4.1; tests/mote_backend hold every family to it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mote_backend.errors import UnsupportedModelError
from mote_backend.families import Site, places

LIFT = 0.01
"""How far above the highest other logit an expert that is forced on comes."""

_PRODUCTS = frozenset({F.linear, torch.matmul, torch.mm, torch.Tensor.matmul, torch.Tensor.mm, torch.addmm})
_TOP_K = frozenset({torch.topk, torch.Tensor.topk})
_INF = float("inf")


@dataclass(frozen=True)
class Switches:
    """What masks do to the tokens of one forward of one router: [1 or tokens, logits], None where they do nothing."""

    off: Tensor | None = None
    on: Tensor | None = None
    """Selected."""
    lifted: Tensor | None = None
    """Of those on, whose logit is raised too."""
    bias: Tensor | None = None
    zero: Tensor | None = None
    """Weighted 0 after the selection."""
    renormed: Tensor | None = None
    """[1 or tokens, 1]: the weights that are left are scaled up to the sum that there was."""
    _bounds: dict[tuple[torch.dtype, int], tuple[Tensor, Tensor]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def bounds(self, dtype: torch.dtype, width: int) -> tuple[Tensor, Tensor]:
        """Least and greatest selection score [1 or tokens, width] of each expert: -inf for one that is off, +inf for
        one that is on, and what a family itself excluded by -inf comes above those off."""
        known = self._bounds.get((dtype, width))
        if known is None:
            which = self.off if self.off is not None else self.on
            assert which is not None
            least = torch.full_like(which[:, :width], torch.finfo(dtype).min, dtype=dtype)
            most = torch.full_like(least, _INF)
            if self.off is not None:
                least = least.masked_fill_(self.off[:, :width], -_INF)
                most = most.masked_fill_(self.off[:, :width], -_INF)
            if self.on is not None:
                least = least.masked_fill_(self.on[:, :width], _INF)
            known = self._bounds[dtype, width] = (least, most)
        return known

    @property
    def all_lifted(self) -> bool:
        """Whether every expert that is on has its logit raised, so that it is selected without a top-k too."""
        return self.on is not None and self.lifted is not None and torch.equal(self.lifted, self.on)

    def at(self, rows: Tensor | slice) -> Switches:
        """Those of these rows of a table."""

        def of(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[rows]

        return Switches(*(of(one) for one in (self.off, self.on, self.lifted, self.bias, self.zero, self.renormed)))


class Interception(TorchFunctionMode):
    """Applies `Switches` inside one forward of a router."""

    def __init__(self, site: Site, switches: Switches) -> None:
        super().__init__()
        self._site = site
        self._switches = switches
        self.logits_seen = 0
        self.selections_seen = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _TOP_K:
            return self._top_k(func, *args, **kwargs)
        output = func(*args, **kwargs)
        if self.logits_seen == 0 and func in _PRODUCTS and output.shape[-1] == self._site.logits:
            self.logits_seen += 1
            return self._on_logits(output)
        return output

    def _on_logits(self, output: Tensor) -> Tensor:
        switches = self._switches
        logits = _flat(output)
        if switches.bias is not None:
            logits = logits + switches.bias.to(logits.dtype)
        if switches.lifted is not None:
            alive = logits if switches.off is None else logits.masked_fill(switches.off, -_INF)
            logits = torch.where(switches.lifted, alive.amax(-1, keepdim=True) + LIFT, logits)
        if switches.off is not None:
            logits = logits.masked_fill(switches.off, -_INF)
        return _as(output, logits)

    def _top_k(self, func: Callable[..., Any], input: Tensor, k: int, dim: int = -1, **kwargs: Any) -> Any:
        width, switches = input.shape[-1], self._switches
        if width in (self._site.experts, self._site.logits) and dim in (-1, input.dim() - 1):
            self.selections_seen += 1
            if switches.off is None and switches.on is None:
                return func(input, k, dim, **kwargs)
            scores = torch.clamp(_flat(input), *switches.bounds(input.dtype, width))
            selected = func(_as(input, scores), k, dim, **kwargs)
            if switches.on is None:
                return selected
            return torch.return_types.topk((input.gather(-1, selected[1]), selected[1]))
        if input.dim() == 3 and input.shape[1] * width == self._site.experts and switches.off is not None:
            # A group's score: made of the experts that are left.
            flat = input.reshape(-1, self._site.experts).masked_fill(switches.off[:, : self._site.experts], -_INF)
            return func(flat.reshape(input.shape), k, dim, **kwargs)
        return func(input, k, dim, **kwargs)


def masked(site: Site, switches: Switches, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """`forward(*args, **kwargs)` of the site's module under the switches; UnsupportedModelError if they missed it."""
    interception = Interception(site, switches)
    with interception:
        output = forward(*args, **kwargs)
    if not interception.logits_seen:
        raise UnsupportedModelError(
            f"The router {site.name} ({type(site.module).__name__}) computed its logits where no mask reaches them, "
            "such as in a fused kernel; load the model without kernels (use_kernels=False) and not quantised."
        )
    if switches.on is not None and not interception.selections_seen and not switches.all_lifted:
        raise UnsupportedModelError(
            f"The router {site.name} ({type(site.module).__name__}) has no top-k to put an expert into, so that "
            'force "natural" cannot act on it; force "max" can.'
        )
    return output if switches.zero is None else _zeroed(site, switches, output)


def _flat(scores: Tensor) -> Tensor:
    return scores if scores.dim() == 2 else scores.reshape(-1, scores.shape[-1])


def _as(before: Tensor, scores: Tensor) -> Tensor:
    return scores if before.dim() == 2 else scores.reshape(before.shape)


def _zeroed(site: Site, switches: Switches, output: Any) -> Any:
    assert switches.zero is not None
    place = places(output)
    if place is None or site.experts != site.logits or type(site.module).__name__ == "JetMoeTopKGating":
        raise UnsupportedModelError(
            f"The router {site.name} ({type(site.module).__name__}) hides its weights after the selection, "
            'so that mode "zero" cannot act on it; mode "remove" can.'
        )
    at, weighted = place
    indices, weights = output[at].reshape(-1, site.top_k), output[weighted].reshape(-1, site.top_k)
    kept = weights.masked_fill(switches.zero.expand(len(indices), -1).gather(-1, indices.long()), 0)
    if switches.renormed is not None:
        left = kept.sum(-1, keepdim=True)
        scale = weights.sum(-1, keepdim=True) / left.masked_fill(left == 0, 1)
        kept = torch.where(switches.renormed, kept * scale, kept)
    return (*output[:weighted], kept.reshape(output[weighted].shape), *output[weighted + 1 :])
