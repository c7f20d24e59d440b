"""Steering leaves no trace, is seen by its own thread alone, and fails loudly where a mask would not act."""

from __future__ import annotations

import asyncio
import copy
import gc
import threading
from dataclasses import replace

import pytest
import torch
from torch import nn

from mote_backend import ExpertMask, Steering, steer
from mote_backend.errors import InputError, MaskError, UnsupportedModelError
from support.moe_families import build
from support.tiny_routed import EXPERTS, LAYERS, TOP_K, tiny_model

OFF = ExpertMask(off={(0, 1), (1, 2), (2, 0)})
FORCED = ExpertMask(on={(0, 5), (2, 7)})
IDS = torch.randint(3, 80, (3, 9), generator=torch.Generator().manual_seed(5))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def under(model, masks, ids=IDS, **options):
    with steer(model, masks, **options):
        return model(input_ids=ids).logits


def generated(model, masks, **options):
    with steer(model, masks):
        return model.generate(IDS, max_new_tokens=8, do_sample=False, **options)


def test_steering_leaves_no_trace(model):
    plain, before = model(input_ids=IDS).logits, {name: dict(one.__dict__) for name, one in model.named_modules()}
    assert not torch.equal(under(model, OFF), plain)
    with pytest.raises(ZeroDivisionError), steer(model, OFF):
        _ = 1 / 0
    after = {name: one.__dict__ for name, one in model.named_modules()}
    assert all(set(before[name]) == set(after[name]) for name in before)
    assert not any(one._forward_pre_hooks for one in model.modules())
    assert torch.equal(model(input_ids=IDS).logits, plain)
    assert list(model.state_dict()) == list(tiny_model().state_dict())


def test_no_mask_and_an_empty_mask_give_the_same_bits(model):
    plain = model(input_ids=IDS).logits
    for masks in (None, ExpertMask(), [None, ExpertMask(), None]):
        assert torch.equal(under(model, masks), plain)


def test_blocks_nest_and_the_inner_one_counts(model):
    off, forced, plain = under(model, OFF), under(model, FORCED), model(input_ids=IDS).logits
    with steer(model, OFF):
        with steer(model, FORCED):
            assert torch.equal(model(input_ids=IDS).logits, forced)
        with steer(model, None):
            assert torch.equal(model(input_ids=IDS).logits, plain)
        assert torch.equal(model(input_ids=IDS).logits, off)


def test_two_models_are_steered_apart(model):
    other = tiny_model(1)
    alone = under(other, FORCED)
    with steer(model, OFF), steer(other, FORCED):
        assert torch.equal(other(input_ids=IDS).logits, alone)
        assert torch.equal(model(input_ids=IDS).logits, under(model, OFF))


def test_each_thread_has_masks_of_its_own(model):
    expected = {id(mask): under(model, mask) for mask in (OFF, FORCED, None)}
    wrong: list[str] = []
    start = threading.Barrier(3)

    def work(mask):
        start.wait()
        with torch.no_grad():
            for _ in range(20):
                if not torch.equal(under(model, mask), expected[id(mask)]):
                    wrong.append(str(mask))

    threads = [threading.Thread(target=work, args=(mask,)) for mask in (OFF, FORCED, None)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []
    assert "_mote" not in model.__dict__


def test_threads_that_share_a_block_do_not_disturb_each_other(model):
    batches = [IDS, IDS[:, :2]]
    expected = [under(model, [OFF, None, FORCED], ids) for ids in batches]

    def run(ids):
        with torch.no_grad():
            return [model(input_ids=ids).logits for _ in range(15)]

    async def together():
        return await asyncio.gather(*(asyncio.to_thread(run, ids) for ids in batches))

    with steer(model, [OFF, None, FORCED]):
        for logits, one in zip(asyncio.run(together()), expected, strict=True):
            assert all(torch.allclose(each, one, atol=1e-5) for each in logits)


def test_a_copy_listens_to_nobody_until_it_is_attached(model):
    plain, off = model(input_ids=IDS).logits, under(model, OFF)
    with steer(model, OFF):
        twin = copy.deepcopy(model)
        assert torch.equal(twin(input_ids=IDS).logits, plain)
        for one in twin.parameters():
            one.mul_(0.5)  # the copy runs on weights of its own
        assert not torch.equal(twin(input_ids=IDS).logits, plain)
        assert torch.equal(model(input_ids=IDS).logits, off)
        assert not torch.equal(under(twin, OFF), twin(input_ids=IDS).logits)


def test_a_long_steering_is_shared_and_outlives_the_blocks(model):
    steering = Steering(model)
    try:
        with pytest.raises(InputError, match="attached already"):
            Steering(model)
        with steer(model, OFF) as same:
            assert same is steering
        with steering.apply(OFF):
            assert torch.equal(model(input_ids=IDS).logits, under(model, OFF))
    finally:
        steering.detach()
    with pytest.raises(InputError, match="was detached"), steering.apply(OFF):
        raise AssertionError


def test_a_steering_that_is_forgotten_leaves_no_hooks(model):
    hooks = [len(one._forward_pre_hooks) for one in model.modules()]
    for _ in range(3):
        Steering.of(model)
        gc.collect()
    assert [len(one._forward_pre_hooks) for one in model.modules()] == hooks


def test_those_who_share_a_model_share_its_steering(model):
    with steer(model, OFF) as made:
        shared = Steering.of(model)
        assert shared is made is Steering.of(model)
    try:
        with shared.apply(OFF):  # the block that made it has left it in place
            assert torch.equal(model(input_ids=IDS).logits, under(model, OFF))
    finally:
        shared.detach()
    assert "_mote" not in model.__dict__


@pytest.mark.parametrize("mode", ["remove", "zero", "zero_renorm"])
@pytest.mark.parametrize("phase", ["all", "prefill", "decode"])
def test_chunks_of_a_prompt_and_rows_of_a_batch_do_not_change_what_a_mask_does(model, phase, mode):
    mask = ExpertMask(off=OFF.off, phase=phase, mode=mode)
    whole = generated(model, [mask, None, FORCED])
    assert torch.equal(whole, generated(model, [mask, None, FORCED], prefill_chunk_size=4))
    for row, one in enumerate((mask, None, FORCED)):
        with steer(model, one):
            alone = model.generate(IDS[row : row + 1], max_new_tokens=8, do_sample=False)
        assert torch.equal(alone[0], whole[row])


def test_a_mask_for_one_phase_acts_on_its_tokens_only(model):
    chosen = []
    steering = Steering(model)
    handle = steering.sites[0].module.register_forward_hook(lambda _, __, output: chosen.append(output[2]))
    try:
        for phase in ("prefill", "decode"):
            chosen.clear()
            with steer(model, ExpertMask(off={(0, one) for one in range(4)}, phase=phase)):
                model.generate(IDS, max_new_tokens=8, do_sample=False)
            prompt, rest = chosen[0], torch.cat(chosen[1:])
            inside, outside = (prompt, rest) if phase == "prefill" else (rest, prompt)
            assert inside.min() >= 4 and outside.min() < 4
    finally:
        handle.remove()
        steering.detach()


def test_tokens_of_a_packed_batch_name_their_masks(model):
    rows = torch.tensor([0, 1, 2]).repeat_interleave(9)
    with steer(model, None) as steering, steering.apply_tokens([OFF, None, FORCED], rows):
        packed = model(input_ids=IDS).logits
    assert torch.equal(packed, under(model, [OFF, None, FORCED]))
    late = ExpertMask(off=OFF.off, phase="decode")
    with steer(model, None) as steering:
        said = pytest.raises(InputError, match="which tokens of a packed batch are generated")
        with said, steering.apply_tokens([late], rows * 0):
            raise AssertionError
        with steering.apply_tokens([late], rows * 0, torch.ones(27, dtype=torch.bool)):
            assert torch.equal(model(input_ids=IDS).logits, under(model, OFF))


def test_a_forced_expert_gets_the_largest_weight_and_a_natural_one_its_own(model):
    for force in ("max", "natural"):
        steering = Steering(model)
        seen = []
        handle = steering.sites[0].module.register_forward_hook(lambda _, __, output: seen.append(output))  # noqa: B023
        try:
            with steering.apply(ExpertMask(on={(0, 5)}, force=force)):
                model(input_ids=IDS)
        finally:
            handle.remove()
            steering.detach()
        _, weights, indices = seen[0]
        forced = indices == 5
        assert forced.any(-1).all()
        largest = weights[forced] >= weights.max(-1).values - 1e-6
        assert largest.all() if force == "max" else not largest.all()


@pytest.mark.parametrize("masks", [[OFF, FORCED], [OFF, FORCED, None, OFF]])
def test_masks_that_do_not_match_the_batch_are_one_sentence(model, masks):
    with pytest.raises(InputError, match=f"{len(masks)} masks for a batch of 3"):
        under(model, masks)


@pytest.mark.parametrize(("masks", "said"), [([], "list of masks is empty"), (["off"], "not str"), ([{}], "not dict")])
def test_what_is_no_mask_is_one_sentence(model, masks, said):
    with pytest.raises(MaskError, match=said):
        under(model, masks)


def test_a_mask_that_does_not_fit_is_refused_before_the_model_runs(model):
    with pytest.raises(MaskError, match=f"routed layers are 0 to {LAYERS - 1}"), steer(model, ExpertMask(off={(9, 0)})):
        raise AssertionError
    with pytest.raises(MaskError, match=f"each token needs {TOP_K}"):
        under(model, ExpertMask(off={(0, one) for one in range(EXPERTS - 1)}))


def test_a_mask_of_another_model_is_refused_after_one_that_switches_the_same():
    steering = Steering(tiny_model())
    with steering.apply(OFF):
        pass
    elsewhere = replace(steering.fingerprint, model_type="olmoe")
    with pytest.raises(MaskError, match="was made for olmoe"), steering.apply(replace(OFF, model=elsewhere)):
        raise AssertionError


def test_attaching_leaves_each_module_in_its_own_mode():
    model = tiny_model().train()
    model.model.layers[1].eval()
    before = [one.training for one in model.modules()]
    under(model, OFF)
    assert [one.training for one in model.modules()] == before


def test_a_mask_of_other_weights_is_applied_with_a_warning(model, caplog):
    with steer(model, None) as steering:
        own = steering.fingerprint
    under(model, replace(OFF, model=own))
    assert not caplog.messages
    under(model, replace(OFF, model=replace(own, weights="0" * 12), name="found elsewhere"))
    assert ["'found elsewhere' was made for other weights" in one for one in caplog.messages] == [True]


def test_a_dense_model_is_refused_in_a_sentence():
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(vocab_size=80, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, head_dim=16)
    with pytest.raises(UnsupportedModelError, match="it is a dense model"):
        Steering(Qwen3ForCausalLM(config))


def test_a_kernel_that_bypasses_the_router_is_found_when_attaching():
    model = tiny_model()
    gate = model.model.layers[1].mlp.gate

    def fused(hidden):
        logits = torch.einsum("nh,eh->ne", hidden.reshape(-1, 32), gate.weight)  # no product that we know of
        weights, indices = logits.softmax(-1).topk(TOP_K)
        return logits, weights, indices

    gate.forward = fused
    with pytest.raises(UnsupportedModelError, match=r"layers\.1\.mlp\.gate .* where no mask reaches them"):
        Steering(model)
    assert gate.forward is fused and "_mote" not in model.__dict__


def test_a_selection_that_does_not_obey_is_found_when_attaching():
    model = tiny_model()
    gate = model.model.layers[1].mlp.gate

    def stubborn(hidden):
        logits = nn.functional.linear(hidden.reshape(-1, 32), gate.weight)
        return logits, torch.ones(len(logits), TOP_K), torch.arange(TOP_K).expand(len(logits), -1)

    gate.forward = stubborn
    with pytest.raises(UnsupportedModelError, match="selects experts that are off"):
        Steering(model)


def test_copies_of_a_checkpoint_in_other_precision_have_one_fingerprint(model):
    steering = Steering(copy.deepcopy(model).to(torch.bfloat16).float())
    half = Steering(copy.deepcopy(model).to(torch.bfloat16))
    assert steering.fingerprint == half.fingerprint
    assert steering.fingerprint.weights != Steering(tiny_model(1)).fingerprint.weights


def test_a_tower_that_sees_pictures_is_left_alone_as_its_batch_is_one_of_pictures():
    model = build("qwen3_vl_moe")
    with steer(model, [ExpertMask(off={(0, 0)}), None]):
        assert not model.model.visual._forward_pre_hooks
        assert model.model.language_model._forward_pre_hooks and model._forward_pre_hooks
