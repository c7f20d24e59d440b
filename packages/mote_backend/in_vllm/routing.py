"""Masked expert selection on tensors of a fixed size, without a branch on their contents: what a CUDA graph can replay.

vLLM's routing kernels are opaque, so the mask is laid around them: routers whose logits alone decide get edited logits;
routers that select by another score (a correction bias, groups) are followed by `select`, which knows that rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from mote_backend.in_vllm.tables import MaskTables

Scoring = Literal["softmax", "sigmoid", "sqrtsoftplus"]

MARGIN = 0.01
"""How far the logit of an expert that is forced on lies above all others."""


@dataclass(frozen=True, eq=False)
class RoutingRule:
    """How routers select that need more than logits: those of DeepSeek-V3 (arXiv 2412.19437, eq. 12 to 16) and kin."""

    scoring: Scoring
    top_k: int
    renormalize: bool
    scale: float = 1.0
    correction: Tensor | None = None
    """[experts], added to the scores for selection only."""
    groups: int = 1
    groups_kept: int = 1


@dataclass(frozen=True, eq=False)
class LayerMasks:
    """The masks of one layer, laid around its router."""

    tables: MaskTables
    layer: int
    experts: int
    rule: RoutingRule | None = None
    """None: the logits alone decide."""

    def edit(self, logits: Tensor) -> Tensor:
        """Router logits [tokens, experts] with biases added, off at -inf, and on above all others, in their own dtype.

        Tokens without a mask keep their bits.
        """
        if logits.shape[-1] != self.experts:
            raise ValueError(
                f"The router of layer {self.layer} has {logits.shape[-1]} logits for {self.experts} experts."
            )
        rows = self.tables.row_of_token[: logits.shape[0]]
        edited = logits + self.tables.shift[self.layer, rows, : self.experts].to(logits.dtype)
        top = edited.amax(dim=-1, keepdim=True)
        # bfloat16 keeps 8 bits: above 1, a margin that does not grow with the logit would be rounded away.
        margin = MARGIN if logits.dtype == torch.float32 else MARGIN * top.abs().clamp(min=1.0)
        return torch.where(self.tables.on[self.layer, rows, : self.experts], top + margin, edited)

    def weigh(self, weights: Tensor, ids: Tensor) -> Tensor:
        """Weights [tokens, k] with zeroed experts at 0, and the others scaled to the same sum if the mask says so."""
        rows = self.tables.row_of_token[: ids.shape[0]]
        zeroed = self.tables.zero[self.layer, rows, : self.experts].gather(1, ids.long().clamp(0, self.experts - 1))
        kept = weights.masked_fill(zeroed, 0.0)
        left = kept.sum(dim=-1, keepdim=True)
        rescaled = kept * (weights.sum(dim=-1, keepdim=True) / left.clamp(min=torch.finfo(left.dtype).tiny))
        rescale = self.tables.rescale[rows].unsqueeze(1) & zeroed.any(dim=-1, keepdim=True) & (left > 0)
        return torch.where(rescale, rescaled, kept)

    def replace(self, logits: Tensor, weights: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """What the router selected from unedited logits, with masked tokens selected anew by its rule."""
        assert self.rule is not None
        rows = self.tables.row_of_token[: logits.shape[0]]
        off = self.tables.shift[self.layer, rows, : self.experts].isneginf()
        on = self.tables.on[self.layer, rows, : self.experts]
        masked_weights, masked_ids = select(self.rule, self.edit(logits.float()), off, on)
        masked = (rows > 0).unsqueeze(1)
        return (
            torch.where(masked, masked_weights.to(weights.dtype), weights),
            torch.where(masked, masked_ids.to(ids.dtype), ids),
        )


def select(rule: RoutingRule, logits: Tensor, off: Tensor, on: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and ids [tokens, k] from edited logits [tokens, experts]: `off` is never selected, `on` always.

    An off expert's score of 0 plus its correction can beat any other's, so the scores for selection are edited too.
    """
    scores = _scores(rule.scoring, logits)
    choice = scores if rule.correction is None else scores + rule.correction.to(scores.dtype)
    choice = choice.masked_fill(off, float("-inf"))
    if rule.groups > 1:
        choice = torch.where(_in_best_groups(rule, choice), choice, torch.finfo(choice.dtype).min)
    # An expert of a group that was left out is still better than one that is off.
    choice = choice.masked_fill(off, float("-inf")).masked_fill(on, float("inf"))
    ids = choice.topk(rule.top_k, dim=-1, sorted=False).indices
    weights = scores.gather(1, ids)
    if rule.renormalize:
        weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)
    return weights * rule.scale, ids


def _scores(scoring: Scoring, logits: Tensor) -> Tensor:
    if scoring == "softmax":
        return logits.softmax(dim=-1)
    return logits.sigmoid() if scoring == "sigmoid" else functional.softplus(logits).sqrt()


def _in_best_groups(rule: RoutingRule, choice: Tensor) -> Tensor:
    """[tokens, experts], true in the groups that may be selected from: by their best expert, or by their best two."""
    grouped = choice.view(len(choice), rule.groups, -1)
    best = grouped.amax(dim=-1) if rule.correction is None else grouped.topk(2, dim=-1).values.sum(dim=-1)
    kept = torch.zeros_like(best, dtype=torch.bool).scatter_(1, best.topk(rule.groups_kept, dim=-1).indices, True)
    return kept.unsqueeze(-1).expand_as(grouped).flatten(1)
