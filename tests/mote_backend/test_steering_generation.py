"""Every way in which transformers generates obeys a mask for each row, as single runs of plain steps do."""

import importlib.util
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from mote_backend.mask import ExpertMask
from mote_backend.steering import Steering, steer
from support.expert_tap import listening
from support.moe_families import build
from support.tiny_family import prompts

NEW = 8
PROMPTS = prompts()
LAYERS = range(3)
OFF = ExpertMask(off=frozenset((layer, expert) for layer in LAYERS for expert in (0, 1, 2)))
ON = ExpertMask(on=frozenset((layer, 5) for layer in LAYERS), off=frozenset((layer, 3) for layer in LAYERS))
MASKS = [OFF, None, ON]


@pytest.fixture(scope="module", autouse=True)
def _one_quiet_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model() -> Any:
    return build("qwen3_moe")


def generate(model: Any, tokens: Tensor = PROMPTS, **options: Any) -> Tensor:
    settings = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0, "eos_token_id": None, **options}
    attention = settings.pop("attention_mask", torch.ones_like(tokens))
    made: Tensor = model.generate(input_ids=tokens, attention_mask=attention, **settings)
    return made


def step_by_step(model: Any, mask: ExpertMask | None, tokens: Tensor, new: int = NEW) -> Tensor:
    """One row, greedily, without a cache: each step is a forward pass over everything. The prompt's length is said."""
    length = tokens.shape[1]
    for _ in range(new):
        with torch.no_grad(), steer(model, mask, prompt_length=length):
            logits = model(input_ids=tokens, use_cache=False).logits
        tokens = torch.cat([tokens, logits[:, -1].argmax(-1, keepdim=True)], -1)
    return tokens


def each_alone(model: Any, masks: list[ExpertMask | None], tokens: Tensor = PROMPTS, new: int = NEW) -> Tensor:
    return torch.cat([step_by_step(model, mask, tokens[at : at + 1], new) for at, mask in enumerate(masks)])


def test_the_masks_of_this_file_change_what_is_generated(model: Any) -> None:
    plain = each_alone(model, [None, None, None])
    masked = each_alone(model, MASKS)
    assert [bool((one == two).all()) for one, two in zip(plain, masked, strict=True)] == [False, True, False]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_cache": False},
        {"cache_implementation": "static", "disable_compile": True},
        {"prefill_chunk_size": 4},
        {"logits_to_keep": 1},
        {"return_dict_in_generate": True, "output_scores": True},
    ],
    ids=lambda options: "-".join(options) or "dynamic-cache",
)
@pytest.mark.parametrize("phase", ["all", "prefill", "decode"])
def test_each_way_of_caching_gives_the_tokens_of_a_run_without_a_cache(
    model: Any, options: dict[str, Any], phase: str
) -> None:
    masks = [one and ExpertMask(off=one.off, on=one.on, phase=phase) for one in MASKS]  # type: ignore[arg-type]
    with steer(model, masks):
        made = generate(model, **options)
    made = made if isinstance(made, Tensor) else made.sequences
    assert torch.equal(made, each_alone(model, masks))


@pytest.mark.parametrize("phase", ["all", "prefill", "decode"])
def test_prompt_lookup_gives_the_tokens_of_plain_steps(model: Any, phase: str) -> None:
    mask = ExpertMask(off=OFF.off, phase=phase)  # type: ignore[arg-type]
    tokens = torch.cat([PROMPTS[:1], PROMPTS[:1], PROMPTS[:1, :5]], -1)
    with steer(model, mask), listening(model) as tap:
        made = generate(model, tokens, prompt_lookup_num_tokens=3, max_new_tokens=16)
    assert torch.equal(made, step_by_step(model, mask, tokens, 16))
    assert any(len(weights) not in (1, tokens.shape[1]) for _, weights in tap.calls[0]), "nothing was looked up"


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("lengths", [(3, 11), (11, 3)])
def test_each_run_in_a_block_has_a_prompt_of_its_own(model: Any, phase: Any, lengths: tuple[int, int]) -> None:
    mask = ExpertMask(off=OFF.off, phase=phase)
    runs = [PROMPTS[:, :length] for length in lengths]
    alone = []
    for tokens in runs:
        with steer(model, mask):
            alone.append(generate(model, tokens).tolist())
    with steer(model, mask):
        assert [generate(model, tokens).tolist() for tokens in runs] == alone
    with steer(model, [mask, None, mask]):
        together = [generate(model, tokens)[::2].tolist() for tokens in runs]
    assert together == [rows[::2] for rows in alone]


def test_beams_follow_their_row(model: Any) -> None:
    with steer(model, MASKS):
        together = generate(model, num_beams=3, num_return_sequences=2)
    for row, mask in enumerate(MASKS):
        with steer(model, mask):
            alone = generate(model, PROMPTS[row : row + 1], num_beams=3, num_return_sequences=2)
        assert torch.equal(together[2 * row : 2 * row + 2], alone)


def test_sampled_sequences_follow_their_row_and_repeat_with_the_seed(model: Any) -> None:
    def sampled() -> Tensor:
        torch.manual_seed(3)
        with steer(model, MASKS), listening(model) as tap:
            made = generate(model, do_sample=True, num_return_sequences=2, top_k=0, temperature=2.0)
        for layer in LAYERS:
            for indices, _ in tap.calls[layer]:
                rows = indices.view(6, -1)
                assert not torch.isin(rows[:2], torch.tensor([0, 1, 2])).any()
                assert not (rows[4:] == 3).any()
                assert (indices.view(6, -1, 2)[4:] == 5).any(-1).all()
                assert rows.shape[1] in (2, 2 * PROMPTS.shape[1])
        return made

    first = sampled()
    assert torch.equal(first, sampled())
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("phase", ["all", "prefill", "decode"])
def test_padding_on_the_left_changes_nothing(model: Any, phase: str) -> None:
    masks = [one and ExpertMask(off=one.off, on=one.on, phase=phase) for one in MASKS]  # type: ignore[arg-type]
    lengths = [11, 7, 4]
    padded, attention = PROMPTS.clone(), torch.ones_like(PROMPTS)
    for row, length in enumerate(lengths):
        padded[row, :-length], attention[row, :-length] = 0, 0
    with steer(model, masks):
        made = generate(model, padded, attention_mask=attention)
    for row, (mask, length) in enumerate(zip(masks, lengths, strict=True)):
        alone = step_by_step(model, mask, padded[row : row + 1, -length:])
        assert torch.equal(made[row, -NEW:], alone[0, -NEW:])


@pytest.mark.parametrize("family", ["qwen3_moe", "mixtral", "gpt_oss"])
@pytest.mark.parametrize("experts", ["eager", "batched_mm", "grouped_mm"])
def test_each_implementation_of_the_experts_gives_the_same(family: str, experts: str) -> None:
    model = build(family)
    expected = each_alone(model, MASKS)
    model.set_experts_implementation(experts)
    with steer(model, MASKS):
        assert torch.equal(generate(model), expected)


@pytest.mark.parametrize("family", ["qwen3_moe", "gpt_oss", "deepseek_v3", "mixtral"])
def test_in_bfloat16_masks_hold_and_none_changes_nothing(family: str) -> None:
    model = build(family).to(torch.bfloat16)
    plain = generate(model)
    sites = len(Steering(model).sites)
    off = ExpertMask(off=frozenset((layer, one) for layer in range(sites) for one in (0, 1, 2)))
    on = ExpertMask(on=frozenset((layer, 5) for layer in range(sites)))
    model = build(family).to(torch.bfloat16)
    with steer(model, [None, ExpertMask(), None]):
        assert torch.equal(generate(model), plain)
    with steer(model, [off, None, on]), listening(model) as tap:
        generate(model)
    for layer in range(sites):
        for indices, weights in tap.calls[layer]:
            rows = indices.view(3, -1, indices.shape[-1])
            assert not torch.isin(rows[0], torch.tensor([0, 1, 2])).any()
            assert (rows[2] == 5).any(-1).all()
            assert weights.isfinite().all()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_each_attention_gives_the_same(model: Any, attention: str) -> None:
    other = build("qwen3_moe")
    other.set_attn_implementation(attention)
    with steer(other, MASKS):
        assert torch.equal(generate(other), each_alone(model, MASKS))


def test_threads_generate_under_masks_of_their_own(model: Any) -> None:
    expected = [step_by_step(model, mask, PROMPTS[:1]) for mask in MASKS]
    made: dict[int, list[Tensor]] = {0: [], 1: [], 2: []}
    start = threading.Barrier(3)

    def work(at: int) -> None:
        start.wait()
        for _ in range(3):
            with steer(model, MASKS[at]):
                made[at].append(generate(model, PROMPTS[:1]))

    threads = [threading.Thread(target=work, args=(at,)) for at in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(timeout=60)
    for at in range(3):
        assert len(made[at]) == 3
        assert all(torch.equal(one, expected[at]) for one in made[at])


def _compiled(model: Any, backend: str) -> Callable[[Tensor], Tensor]:
    compiled = torch.compile(model, backend=backend)

    def run(tokens: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = compiled(input_ids=tokens, use_cache=False).logits
        return logits

    return run


def test_a_compiled_model_obeys_masks_that_change_between_calls() -> None:
    model = build("qwen3_moe")
    torch._dynamo.reset()
    with torch.no_grad():
        expected = []
        for masks in (None, OFF, MASKS, ON, None):
            with steer(model, masks):
                expected.append(model(input_ids=PROMPTS, use_cache=False).logits)
    steering = Steering(model)
    run = _compiled(model, "eager")
    for masks, logits in zip((None, OFF, MASKS, ON, None), expected, strict=True):
        with steering.apply(masks):
            torch.testing.assert_close(run(PROMPTS), logits, rtol=1e-4, atol=1e-5)
    steering.detach()
    torch._dynamo.reset()


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")
@pytest.mark.parametrize("where", ["around", "inside"])
def test_a_model_with_lora_adapters_obeys(where: str) -> None:
    import peft

    base = build("qwen3_moe")
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(base, config).eval()
    plain = generate(wrapped)
    target = wrapped if where == "around" else wrapped.get_base_model()
    with steer(target, MASKS):
        made = generate(wrapped)
    with wrapped.disable_adapter():
        assert not torch.equal(made, generate(wrapped))
    alone = []
    for row, mask in enumerate(MASKS):
        with steer(target, mask):
            alone.append(generate(wrapped, PROMPTS[row : row + 1]))
    assert torch.equal(made, torch.cat(alone))
    assert not torch.equal(made, plain) and torch.equal(made[1], plain[1])
    assert torch.equal(generate(wrapped), plain)
