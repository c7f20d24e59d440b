"""Every family of the installed transformers obeys a mask: properties of tiny models, judged at the experts' door."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from mote_backend.errors import UnsupportedModelError
from mote_backend.families import Site, watch
from mote_backend.ftri.prompts import PromptSet
from mote_backend.ftri.recorder import record
from mote_backend.mask import ExpertMask
from mote_backend.steering import Steering, steer
from support.expert_tap import ExpertTap, listening, zeroed
from support.grouped_model import with_grouped_oracle
from support.moe_families import FAMILIES
from support.pruning import prune
from support.tiny_family import TinyFamily, logits, prompts
from support.tiny_routed import some_prompts, word_tokenizer

CLOSE = {"rtol": 1e-4, "atol": 5e-5}
PROMPTS = prompts()
SOME = PromptSet("of unequal length", tuple(some_prompts(9)))
NO_ZERO = {"dbrx", "inkling", "jetmoe", "llama4"}
"""Whose weights cannot be reached after the selection."""


@dataclass(frozen=True)
class Case:
    """A family's model, attached, and what it does without a mask."""

    family: TinyFamily
    model: Any
    steering: Steering
    base: torch.Tensor
    busiest: dict[int, list[int]]
    """Layer → experts, the one that most tokens of the prompts are sent to first."""

    @property
    def sites(self) -> list[Site]:
        """The routers that run for text."""
        return [site for site in self.steering.sites if site.layer in self.busiest]

    def mask(self, off: slice = slice(0, 0), on: slice = slice(0, 0), **how: Any) -> ExpertMask:
        """Switches experts of every layer, by their place in the order of use."""
        return ExpertMask(
            off=frozenset((site.layer, one) for site in self.sites for one in self.busiest[site.layer][off]),
            on=frozenset((site.layer, one) for site in self.sites for one in self.busiest[site.layer][on]),
            **how,
        )

    def under(self, masks: Any, tokens: torch.Tensor = PROMPTS) -> torch.Tensor:
        """What the model makes of the prompts under these masks."""
        with self.steering.apply(masks):
            return logits(self.family, self.model, tokens)

    def heard(self, masks: Any, tokens: torch.Tensor = PROMPTS) -> ExpertTap:
        """What its experts received of the prompts under these masks."""
        with listening(self.model) as tap:
            self.under(masks, tokens)
        return tap


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.name)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    family: TinyFamily = request.param
    model = family.build()
    with listening(model) as tap:
        base = logits(family, model, PROMPTS)
    busiest = {layer: tap.count(layer).argsort(descending=True).tolist() for layer in tap.counts}
    steering = Steering(model)
    yield Case(family, model, steering, base, busiest)
    steering.detach()
    torch.set_num_threads(threads)


OFF, ON = slice(0, 2), slice(-1, None)
"""The two experts that are used most, and the one that is used least."""


def test_each_router_is_found_and_its_layers_are_numbered_in_order(case: Case) -> None:
    sites = case.steering.sites
    assert [site.layer for site in sites] == list(range(len(sites)))
    assert all(0 < site.top_k < site.experts <= site.logits for site in sites)
    assert len(case.busiest) == len(case.sites) > 0


def test_attached_with_no_mask_or_an_empty_one_it_computes_the_same_bits(case: Case) -> None:
    assert torch.equal(logits(case.family, case.model, PROMPTS), case.base)
    for nothing in (None, ExpertMask(), [None, ExpertMask(), None]):
        assert torch.equal(case.under(nothing), case.base)


def test_detached_it_computes_the_same_bits_and_keeps_no_trace(case: Case) -> None:
    model = copy.deepcopy(case.model)
    steering = Steering(model)
    with steering.apply(case.mask(off=OFF)):
        logits(case.family, model, PROMPTS)
    steering.detach()
    assert torch.equal(logits(case.family, model, PROMPTS), case.base)
    assert not [name for name, module in model.named_modules() if "_mote" in module.__dict__]
    assert not [name for name, module in model.named_modules() if "forward" in module.__dict__]


def test_off_is_never_selected_and_each_token_still_gets_its_top_k_distinct_experts(case: Case) -> None:
    mask = case.mask(off=OFF)
    tap = case.heard(mask)
    for layer, expert in mask.off:
        assert tap.count(layer)[expert] == 0
    _assert_top_k_distinct(case, tap)


@pytest.mark.parametrize("force", ["max", "natural"])
def test_on_is_always_selected(case: Case, force: str) -> None:
    mask = case.mask(on=ON, force=force)
    if case.family.name == "phimoe" and force == "natural":  # its sparsemixer takes two maxima
        with pytest.raises(UnsupportedModelError, match='force "max" can'):
            case.under(mask)
        return
    tap = case.heard(mask)
    for layer, expert in mask.on:
        assert tap.count(layer)[expert] == PROMPTS.numel()
    _assert_top_k_distinct(case, tap)


def test_off_and_on_hold_together(case: Case) -> None:
    mask = case.mask(off=OFF, on=ON)
    tap = case.heard(mask)
    for layer, expert in mask.off:
        assert tap.count(layer)[expert] == 0
    for layer, expert in mask.on:
        assert tap.count(layer)[expert] == PROMPTS.numel()
    _assert_top_k_distinct(case, tap)


def test_off_equals_the_model_with_these_experts_really_deleted(case: Case) -> None:
    mask = case.mask(off=OFF)
    masked = case.under(mask)
    with torch.no_grad():
        if case.family.grouped:
            expected = logits(case.family, with_grouped_oracle(case.family, case.model, mask.off), PROMPTS)
        else:
            expected = logits(case.family, prune(case.model, mask.off), PROMPTS)
    torch.testing.assert_close(masked, expected, **CLOSE)
    assert not torch.allclose(masked, case.base, **CLOSE), "the experts that were switched off did nothing"


@pytest.mark.parametrize("mode", ["zero", "zero_renorm"])
def test_zero_equals_a_gate_weight_of_zero_at_the_experts(case: Case, mode: str) -> None:
    mask = case.mask(off=slice(0, 1), mode=mode)
    if case.family.name in NO_ZERO:
        with pytest.raises(UnsupportedModelError, match='mode "remove" can'):
            case.under(mask)
        return
    with zeroed(case.model, mask.off, renorm=mode == "zero_renorm"):
        expected = logits(case.family, case.model, PROMPTS)
    torch.testing.assert_close(case.under(mask), expected, **CLOSE)
    assert not torch.allclose(expected, case.base, **CLOSE)


def test_rows_of_a_batch_obey_their_own_masks_as_if_each_ran_alone(case: Case) -> None:
    masks = [case.mask(off=OFF), None, case.mask(off=slice(2, 3), on=ON)]
    together = case.under(masks)
    alone = [case.under(mask, PROMPTS[row : row + 1]) for row, mask in enumerate(masks)]
    torch.testing.assert_close(together, torch.cat(alone), **CLOSE)
    backwards = case.under(masks[::-1], PROMPTS.flip(0)).flip(0)
    torch.testing.assert_close(together, backwards, **CLOSE)


def test_generated_rows_equal_single_runs_and_a_run_without_a_cache(case: Case) -> None:
    if not case.family.generates:
        pytest.skip("it does not generate")
    masks = [case.mask(off=OFF), None, case.mask(off=slice(2, 3), on=ON)]

    def continued(mask: Any, tokens: torch.Tensor) -> torch.Tensor:
        with case.steering.apply(mask):
            made: torch.Tensor = case.model.generate(
                input_ids=tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=6, do_sample=False,
                pad_token_id=0, eos_token_id=None,
            )  # fmt: skip
        return made

    together = continued(masks, PROMPTS)
    alone = [continued(mask, PROMPTS[row : row + 1]) for row, mask in enumerate(masks)]
    assert torch.equal(together, torch.cat(alone))
    with case.steering.apply(masks):
        anew = logits(case.family, case.model, together[:, :-1], use_cache=False)
    assert torch.equal(together[:, PROMPTS.shape[1] :], anew[:, PROMPTS.shape[1] - 1 :].argmax(-1))


def test_a_copy_of_the_model_listens_to_nobody_and_uses_its_own_weights(case: Case) -> None:
    twin = copy.deepcopy(case.model)
    with case.steering.apply(case.mask(off=OFF)):
        assert torch.equal(logits(case.family, twin, PROMPTS), case.base)
    with torch.no_grad():
        for name, weight in twin.named_parameters():
            if "router" in name or "gate." in name:
                weight.add_(torch.randn_like(weight))
    assert not torch.equal(logits(case.family, twin, PROMPTS), case.base)
    assert torch.equal(logits(case.family, case.model, PROMPTS), case.base)
    with steer(twin, case.mask(off=OFF)), listening(twin) as tap:
        logits(case.family, twin, PROMPTS)
    assert not any(tap.count(layer)[expert] for layer, expert in case.mask(off=OFF).off)


def test_what_is_recorded_is_what_the_experts_received(case: Case) -> None:
    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    handles = [watch(site, lambda at, one, two: seen.update({at.layer: (one, two)})) for site in case.steering.sites]
    tap = case.heard(case.mask(off=OFF))
    for handle in handles:
        handle.remove()
    assert sorted(seen) == sorted(tap.counts)
    for layer, (indices, weights) in seen.items():
        width = len(tap.count(layer))
        assert torch.equal(torch.bincount(indices.flatten(), minlength=width), tap.count(layer))
        assert weights.shape == indices.shape == (PROMPTS.numel(), case.steering.sites[layer].top_k)
        if layer in tap.calls:
            sent, gates = tap.joined(layer)
            assert torch.equal(indices, sent)
            share = gates / gates.sum(-1, keepdim=True).clamp(min=1e-9)  # some blocks scale what the router gave
            torch.testing.assert_close(weights / weights.sum(-1, keepdim=True).clamp(min=1e-9), share, **CLOSE)


def test_what_is_recorded_of_a_prompt_does_not_depend_on_its_padding(case: Case) -> None:
    if case.family.embedding:
        pytest.skip("it reads vectors, and `record` gives it tokens")
    padded, alone = (
        record(case.model, word_tokenizer(), SOME, raw=True, at="prompt", batch_size=size, replicates=1)
        for size in (len(SOME), 1)
    )
    np.testing.assert_allclose(padded.rates, alone.rates, atol=1e-5)


def _assert_top_k_distinct(case: Case, tap: ExpertTap) -> None:
    for site in case.sites:
        assert tap.count(site.layer).sum() == PROMPTS.numel() * site.top_k
        if site.layer in tap.calls:
            indices = tap.joined(site.layer)[0].sort(-1).values
            assert indices.shape[-1] == site.top_k
            assert bool((indices[:, 1:] != indices[:, :-1]).all())
