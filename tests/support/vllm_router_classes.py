"""Stand-ins for vLLM's router classes: their names and public attributes (vLLM 0.33), with its native formulas.

vLLM itself cannot be a dependency of the tests; `benchmarks/mote_vllm.py` runs against the real classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class BaseRouter:
    """What calls a router in vLLM: `select_experts` wraps `_compute_routing`."""

    top_k: int

    def select_experts(self, hidden_states: Tensor, router_logits: Tensor) -> tuple[Tensor, Tensor]:
        return self._compute_routing(hidden_states, router_logits, None, input_ids=None)

    def _compute_routing(
        self, hidden_states: Tensor, router_logits: Tensor, indices_type: Any, *, input_ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


@dataclass(eq=False)
class FusedTopKRouter(BaseRouter):
    """Softmax or sigmoid, then top-k."""

    top_k: int
    renormalize: bool = True
    scoring_func: str = "softmax"

    def _compute_routing(self, hidden_states, router_logits, indices_type, *, input_ids=None):
        logits = router_logits.float()
        scores = logits.softmax(-1) if self.scoring_func == "softmax" else logits.sigmoid()
        weights, ids = scores.topk(self.top_k)
        if self.renormalize:
            weights = weights / weights.sum(-1, keepdim=True)
        return weights, ids.int()


@dataclass(eq=False)
class CustomRoutingRouter(BaseRouter):
    """A function of the model's own."""

    top_k: int
    custom_routing_function: Callable[..., tuple[Tensor, Tensor]]
    renormalize: bool = True

    def _compute_routing(self, hidden_states, router_logits, indices_type, *, input_ids=None):
        return self.custom_routing_function(hidden_states, router_logits, self.top_k, self.renormalize)


@dataclass(eq=False)
class GroupedTopKRouter(BaseRouter):
    """The best groups, and the best experts in them."""

    top_k: int
    num_expert_group: int
    topk_group: int
    renormalize: bool = True
    scoring_func: str = "softmax"
    routed_scaling_factor: float = 1.0
    e_score_correction_bias: Tensor | None = None
    num_fused_shared_experts: int = 0

    def _compute_routing(self, hidden_states, router_logits, indices_type, *, input_ids=None):
        logits = router_logits.float()
        scores = logits.softmax(-1) if self.scoring_func == "softmax" else logits.sigmoid()
        choice = scores
        if self.e_score_correction_bias is not None:
            choice = scores + self.e_score_correction_bias
        grouped = choice.view(len(choice), self.num_expert_group, -1)
        biased = self.e_score_correction_bias is not None
        best = grouped.topk(2).values.sum(-1) if biased else grouped.max(-1).values
        kept = torch.zeros_like(best).scatter_(1, best.topk(self.topk_group).indices, 1)
        allowed = kept.unsqueeze(-1).expand_as(grouped).reshape(len(choice), -1)
        ids = choice.masked_fill(~allowed.bool(), float("-inf")).topk(self.top_k).indices
        weights = scores.gather(1, ids)
        if self.renormalize:
            weights = weights / weights.sum(-1, keepdim=True)
        return weights * self.routed_scaling_factor, ids.int()


@dataclass(eq=False)
class FusedTopKBiasRouter(BaseRouter):
    """A correction bias that only selects, or a table of token ids in place of a selection."""

    top_k: int
    e_score_correction_bias: Tensor | None = None
    renormalize: bool = True
    scoring_func: str = "sigmoid"
    routed_scaling_factor: float = 1.0
    num_fused_shared_experts: int = 0
    bias_vl: Tensor | None = None
    _hash_indices_table: Tensor | None = None

    def _compute_routing(self, hidden_states, router_logits, indices_type, *, input_ids=None):
        logits = router_logits.float()
        scores = {
            "softmax": logits.softmax(-1),
            "sigmoid": logits.sigmoid(),
            "sqrtsoftplus": torch.nn.functional.softplus(logits).sqrt(),
        }[self.scoring_func]
        ids = (scores + self.e_score_correction_bias).topk(self.top_k).indices
        weights = scores.gather(1, ids)
        if self.renormalize:
            weights = weights / weights.sum(-1, keepdim=True)
        return weights * self.routed_scaling_factor, ids.int()


@dataclass(eq=False)
class ZeroExpertRouter(BaseRouter):
    """One that masks do not know."""

    top_k: int = 2

    def _compute_routing(self, hidden_states, router_logits, indices_type, *, input_ids=None):
        raise NotImplementedError
