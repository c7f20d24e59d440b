"""vLLM's routers, made to listen to masks: a subclass of each router's own class, so that its kernels stay in use."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor

from mote_backend.errors import UnsupportedModelError
from mote_backend.in_vllm.routing import LayerMasks, RoutingRule

_BY_LOGITS = frozenset({"FusedTopKRouter", "CustomRoutingRouter"})
_BY_RULE = frozenset({"FusedTopKBiasRouter", "GroupedTopKRouter", "CPURouter"})


def listening(router: Any) -> Any:
    """The same router, whose class is now a subclass of its own that listens to masks."""
    own: Any = type(router)
    if hasattr(own, "_compute_routing") and not listens(router):
        router.__class__ = _listening_class(own)
    return router


def listens(router: object) -> bool:
    """Whether its `mote` can be set to a `LayerMasks`. Until it is, when the model is loaded, the router is as ever."""
    return hasattr(router, "mote")


@cache
def _listening_class(own: Any) -> Any:
    class ListeningRouter(own):  # type: ignore[misc]
        mote: LayerMasks | None = None

        @property
        def supports_monolithic_kernels(self) -> bool:
            """No: a kernel that also selects would pass the mask by."""
            return False

        def _compute_routing(
            self, hidden_states: Tensor, router_logits: Tensor, *args: Any, **kwargs: Any
        ) -> tuple[Tensor, Tensor]:
            masks = self.mote
            if masks is None:
                return super()._compute_routing(hidden_states, router_logits, *args, **kwargs)  # type: ignore[no-any-return]
            seen = masks.edit(router_logits) if masks.rule is None else router_logits
            weights, ids = super()._compute_routing(hidden_states, seen, *args, **kwargs)
            if masks.rule is not None:
                weights, ids = masks.replace(router_logits, weights, ids)
            return masks.weigh(weights, ids), ids

    ListeningRouter.__name__ = own.__name__
    return ListeningRouter


def selects_by_table(router: Any) -> bool:
    """A layer that routes by token id has nothing to select, and is no layer of a mask (DeepSeek-V4's first ones)."""
    return getattr(router, "_hash_indices_table", None) is not None


def rule_of(router: Any, experts: int) -> RoutingRule | None:
    """The rule by which a router selects, None where its logits decide; UnsupportedModelError if it is not known."""
    name = type(router).__name__
    if getattr(router, "bias_vl", None) is not None or getattr(router, "num_fused_shared_experts", None):
        raise UnsupportedModelError(
            f"vLLM's {name} has a second bias or fused shared experts here, which masks do not know."
        )
    if name in _BY_LOGITS or (name == "CPURouter" and not router.use_grouped_topk and router.scoring_func == "softmax"):
        return None
    if name == "CPURouter" and router.custom_routing_function is not None:
        return None
    if name not in _BY_RULE:
        raise UnsupportedModelError(f"The model selects its experts by vLLM's {name}, which masks do not know.")
    groups, kept = _groups(router, experts)
    correction = getattr(router, "e_score_correction_bias", None)
    if groups == 1 and correction is None:
        return None
    return RoutingRule(
        router.scoring_func, router.top_k, router.renormalize, router.routed_scaling_factor, correction, groups, kept
    )


def _groups(router: Any, experts: int) -> tuple[int, int]:
    if not getattr(router, "use_grouped_topk", hasattr(router, "num_expert_group")):
        return 1, 1
    groups = router.num_expert_group
    return (groups, router.topk_group) if experts > groups and experts % groups == 0 else (1, 1)
