"""Masked routing as vLLM runs it equals our steering of transformers' own routers."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mote_backend.errors import UnsupportedModelError
from mote_backend.families import selection
from mote_backend.in_vllm.routers import listening, listens, rule_of, selects_by_table
from mote_backend.in_vllm.routing import LayerMasks
from mote_backend.in_vllm.tables import MaskTables, Span
from mote_backend.mask import ExpertMask
from mote_backend.steering import Steering
from support.moe_families import build
from support.vllm_router_classes import (
    CustomRoutingRouter,
    FusedTopKBiasRouter,
    FusedTopKRouter,
    GroupedTopKRouter,
    ZeroExpertRouter,
)

TOKENS = 64
FAMILIES = ("qwen3_moe", "olmoe", "mixtral", "deepseek_v2_group", "deepseek_v3", "glm4_moe")


def vllm_router(family: str, router: Any) -> Any:
    """The router that vLLM makes for a model of this family."""
    match family:
        case "qwen3_moe" | "mixtral":
            return FusedTopKRouter(router.top_k, renormalize=True)
        case "olmoe":
            return FusedTopKRouter(router.top_k, renormalize=False)
        case "deepseek_v2_group":
            groups, kept, scale = router.num_group, router.topk_group, router.routed_scaling_factor
            return GroupedTopKRouter(router.top_k, groups, kept, False, "softmax", scale)
    groups, kept, scale = router.num_group, router.topk_group, router.routed_scaling_factor
    return GroupedTopKRouter(
        router.top_k, groups, kept, True, "sigmoid", scale, e_score_correction_bias=router.e_score_correction_bias
    )


class Bench:
    """One router of a tiny model, twice: steered in transformers, and listening as in vLLM."""

    def __init__(self, family: str) -> None:
        self.steering = Steering(build(family))
        self.site = self.steering.sites[-1]
        self.hidden = torch.randn(TOKENS, self.site.module.weight.shape[1], generator=torch.Generator().manual_seed(3))
        self.logits = torch.nn.functional.linear(self.hidden.float(), self.site.module.weight.float())
        self.tables = MaskTables(self.steering.fingerprint, rows=8, tokens=TOKENS + 16)
        self.router = listening(vllm_router(family, self.site.module))
        self.bare = vllm_router(family, self.site.module)
        rule = rule_of(self.router, self.site.experts)
        self.router.mote = LayerMasks(self.tables, self.site.layer, self.site.experts, rule)

    def steered(self, mask: ExpertMask | None) -> Tensor:
        """[tokens, experts]: the weight of each selected expert, nan where it was not selected."""
        with torch.no_grad(), self.steering.apply(mask):
            ids, weights = selection(self.site, self.site.module(self.hidden))
        return self.dense(weights, ids)

    def served(self, *spans: Span) -> Tensor:
        self.tables.fill(spans)
        return self.dense(*self.router.select_experts(self.hidden, self.logits))

    def dense(self, weights: Tensor, ids: Tensor) -> Tensor:
        return torch.full((TOKENS, self.site.experts), float("nan")).scatter(1, ids.long(), weights.detach().float())

    def masks(self) -> list[ExpertMask]:
        """One of each kind; the experts that are off are those that most tokens would get."""
        busy = (~self.steered(None).isnan()).sum(0).argsort(descending=True).tolist()
        at = self.site.layer
        off = frozenset((at, expert) for expert in busy[:3])
        return [
            ExpertMask(off=off),
            ExpertMask(on=frozenset({(at, busy[-1])})),
            ExpertMask(on=frozenset({(at, busy[-1]), (at, busy[-2])}), off=off),
            ExpertMask(bias=frozenset({(at, busy[0], -1.5), (at, busy[-1], 2.0)})),
            ExpertMask(off=off, mode="zero"),
            ExpertMask(off=off, mode="zero_renorm"),
        ]


def whole(mask: ExpertMask | None) -> Span:
    return Span(mask, TOKENS, 0, TOKENS)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_kind_of_mask_selects_and_weighs_as_steering_does(family: str) -> None:
    bench = Bench(family)
    for mask in bench.masks():
        assert not bench.steered(mask).equal(bench.steered(None)), "the mask would show nothing"
        torch.testing.assert_close(bench.served(whole(mask)), bench.steered(mask), equal_nan=True, msg=mask.id)


@pytest.mark.parametrize("family", FAMILIES)
def test_requests_of_one_batch_keep_their_own_masks(family: str) -> None:
    bench = Bench(family)
    masks = [None, *bench.masks(), None]
    share = TOKENS // len(masks)
    served = bench.served(*(Span(mask, share, 0, share) for mask in masks))
    for at, mask in enumerate(masks):
        rows = slice(at * share, (at + 1) * share)
        torch.testing.assert_close(served[rows], bench.steered(mask)[rows], equal_nan=True)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tokens_without_a_mask_keep_the_bits_of_the_bare_router(family: str, dtype: torch.dtype) -> None:
    bench = Bench(family)
    logits = bench.logits.to(dtype)
    bench.tables.fill([Span(bench.masks()[0], 10, 0, 10), Span(None, TOKENS - 10, 0, TOKENS)])
    weights, ids = bench.router.select_experts(bench.hidden, logits)
    bare_weights, bare_ids = bench.bare.select_experts(bench.hidden, logits)
    assert weights[10:].equal(bare_weights[10:])
    assert ids[10:].equal(bare_ids[10:])
    assert ids.dtype == bare_ids.dtype
    assert weights.dtype == bare_weights.dtype


@pytest.mark.parametrize("family", FAMILIES)
def test_in_bfloat16_off_is_never_and_on_always_selected(family: str) -> None:
    bench = Bench(family)
    mask = bench.masks()[2]
    bench.tables.fill([whole(mask)])
    weights, ids = bench.router.select_experts(bench.hidden, (bench.logits * 30).bfloat16())
    for row in ids.tolist():
        assert not {expert for _, expert in mask.off} & set(row)
        assert {expert for _, expert in mask.on} <= set(row)
        assert len(set(row)) == len(row)
    assert weights.isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_with_just_enough_experts_left_these_are_selected_whatever_their_group(family: str) -> None:
    bench = Bench(family)
    left = set(range(0, bench.site.experts, bench.site.experts // bench.site.top_k))
    off = frozenset((bench.site.layer, expert) for expert in range(bench.site.experts) if expert not in left)
    served = bench.served(whole(ExpertMask(off=off)))
    assert all(set((~row.isnan()).nonzero().flatten().tolist()) == left for row in served)


@pytest.mark.parametrize("family", ["qwen3_moe", "deepseek_v3"])
def test_a_compiled_graph_without_breaks_follows_the_contents_of_the_buffers(family: str) -> None:
    bench = Bench(family)
    compiled = torch.compile(bench.router.select_experts, backend="eager", fullgraph=True)
    for mask in [None, *bench.masks()]:
        bench.tables.fill([whole(mask)])
        served = bench.dense(*compiled(bench.hidden, bench.logits))
        torch.testing.assert_close(served, bench.steered(mask), equal_nan=True)


@pytest.mark.parametrize("scoring", ["sigmoid", "softmax", "sqrtsoftplus"])
def test_an_expert_that_is_off_is_not_brought_back_by_its_correction_bias(scoring: str) -> None:
    correction = torch.zeros(8)
    correction[:3] = 50.0
    router = listening(FusedTopKBiasRouter(2, correction, scoring_func=scoring))
    bench = Bench("qwen3_moe")
    router.mote = LayerMasks(bench.tables, 0, 8, rule_of(router, 8))
    bench.tables.fill([whole(ExpertMask(off=frozenset((0, expert) for expert in range(3))))])
    logits = torch.randn(TOKENS, 8)
    weights, ids = router.select_experts(bench.hidden, logits)
    assert ids.min() >= 3
    assert weights.sum(-1).allclose(torch.ones(TOKENS))


def test_a_routing_function_of_the_models_own_sees_the_edited_logits() -> None:
    def largest_sigmoid(hidden: Tensor, gating: Tensor, top_k: int, renormalize: bool) -> tuple[Tensor, Tensor]:
        values, ids = gating.topk(top_k)
        return values.sigmoid(), ids.int()

    bench = Bench("qwen3_moe")
    router = listening(CustomRoutingRouter(1, largest_sigmoid))
    router.mote = LayerMasks(bench.tables, 0, 8, rule_of(router, 8))
    logits = torch.randn(TOKENS, 8)
    best = int(logits[0].argmax())
    bench.tables.fill([whole(ExpertMask(off=frozenset({(0, best)})))])
    _, ids = router.select_experts(bench.hidden, logits)
    assert best not in ids


def test_a_router_is_as_ever_until_the_model_is_loaded_and_keeps_its_class() -> None:
    bench = Bench("qwen3_moe")
    router = listening(FusedTopKRouter(2))
    assert listens(router)
    assert isinstance(router, FusedTopKRouter)
    assert type(listening(router)) is type(router)
    assert not router.supports_monolithic_kernels
    assert router.select_experts(bench.hidden, bench.logits)[0].equal(
        FusedTopKRouter(2).select_experts(bench.hidden, bench.logits)[0]
    )


def test_routers_that_masks_do_not_know_are_refused_in_a_sentence() -> None:
    for router in (
        listening(ZeroExpertRouter()),
        listening(FusedTopKBiasRouter(2, torch.zeros(8), num_fused_shared_experts=1)),
        listening(FusedTopKBiasRouter(2, torch.zeros(8), bias_vl=torch.zeros(8))),
    ):
        with pytest.raises(UnsupportedModelError, match="masks do not know"):
            rule_of(router, 8)


def test_a_layer_that_routes_by_token_id_is_no_layer_of_a_mask() -> None:
    assert selects_by_table(FusedTopKBiasRouter(2, _hash_indices_table=torch.zeros(4, 2)))
    assert not selects_by_table(FusedTopKRouter(2))


def test_logits_of_another_width_are_refused_in_a_sentence() -> None:
    bench = Bench("qwen3_moe")
    with pytest.raises(ValueError, match="9 logits for 8 experts"):
        bench.router.select_experts(bench.hidden, torch.zeros(TOKENS, 9))
