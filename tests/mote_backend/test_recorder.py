import threading

import numpy as np
import pytest
import torch

from mote_backend.errors import PromptError, UnsupportedModelError
from mote_backend.ftri.prompt_tokens import encode
from mote_backend.ftri.prompts import PromptSet
from mote_backend.ftri.recorder import record
from mote_backend.mask import ExpertMask
from mote_backend.steering import steer
from support.tiny_routed import EXPERTS, LAYERS, TOP_K, some_prompts, tiny_model, word_tokenizer

TOKENIZER = word_tokenizer()
PROMPTS = PromptSet("mixed", tuple(some_prompts(21)))


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return tiny_model()


def hooks_of(model):
    return [one for module in model.modules() for one in (*module._forward_hooks, *module._forward_pre_hooks)]


def executed(model, ids):
    """What reached the experts of a prompt that was run alone, by layer: indices and weights, both [tokens, k]."""
    seen = []
    handles = [
        layer.mlp.experts.register_forward_pre_hook(lambda _, args: seen.append((args[1].clone(), args[2].clone())))
        for layer in model.model.layers
    ]
    with torch.no_grad():
        model(torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    return seen


def expected(model, prompts, columns, *, mean=True):
    """Observations and gate weights [prompts, F], one prompt and one token at a time."""
    rates, gates = np.zeros((2, len(prompts), LAYERS, EXPERTS))
    for position, prompt in enumerate(prompts.prompts):
        tokens = encode(TOKENIZER, prompt)
        wanted = columns(len(tokens.prompt), len(tokens.reply))
        share = 1 / len(wanted) if mean else 1
        for layer, (indices, weights) in enumerate(executed(model, tokens.prompt + tokens.reply)):
            for token in wanted:
                for expert, weight in zip(indices[token].tolist(), weights[token].tolist(), strict=True):
                    rates[position, layer, expert] += share
                    gates[position, layer, expert] += share * weight
    return rates.reshape(len(prompts), -1), gates.reshape(len(prompts), -1)


@pytest.mark.parametrize(
    ("at", "columns", "mean"),
    [
        ("last", lambda n, _: [n - 1], True),
        ("prompt", lambda n, _: list(range(n)), True),
        ("sum", lambda n, _: list(range(n)), False),
        (slice(-3, None), lambda n, _: list(range(n))[-3:], True),
        (lambda ids: [one > 4 for one in ids], lambda n, _: list(range(1, n - 1)), True),
    ],
)
def test_a_batch_of_unequal_prompts_records_what_each_executes_alone(model, at, columns, mean):
    rates, gates = expected(model, PROMPTS, columns, mean=mean)
    activity = record(model, TOKENIZER, PROMPTS, at=at, batch_size=5)
    np.testing.assert_allclose(activity.rates, rates.mean(0), atol=1e-6)
    np.testing.assert_allclose(activity.gate_means, gates.mean(0), atol=1e-6)
    np.testing.assert_allclose(activity.variances, rates.var(0, ddof=1), atol=1e-6)


def test_the_response_is_the_tokens_of_the_reply(model):
    prompts = PromptSet("replied", tuple({"prompt": one, "reply": f"w3 {one}"} for one in some_prompts(9)))
    rates, _ = expected(model, prompts, lambda n, reply: list(range(n, n + reply)))
    activity = record(model, TOKENIZER, prompts, at="response", batch_size=4)
    np.testing.assert_allclose(activity.rates, rates.mean(0), atol=1e-6)


@pytest.mark.parametrize("at", ["last", "prompt"])
def test_what_a_layer_selects_sums_to_top_k_for_each_token(model, at):
    activity = record(model, TOKENIZER, PROMPTS, at=at)
    np.testing.assert_allclose([part.sum() for part in activity.by_layer(activity.rates)], TOP_K, atol=1e-5)


def test_the_sum_counts_every_token_but_no_padding(model):
    activity = record(model, TOKENIZER, PROMPTS, at="sum", batch_size=21)
    lengths = [len(encode(TOKENIZER, one).prompt) for one in PROMPTS.prompts]
    assert activity.tokens == sum(lengths)
    assert activity.sample.total.sum() == pytest.approx(sum(lengths) * TOP_K * LAYERS)


def test_observations_are_binary_exactly_when_one_token_of_each_prompt_counts(model):
    assert record(model, TOKENIZER, PROMPTS).binary
    assert record(model, TOKENIZER, PROMPTS, at=slice(0, 1)).binary
    assert not record(model, TOKENIZER, PROMPTS, at="prompt").binary


def test_the_batch_size_changes_nothing(model):
    one, many = (record(model, TOKENIZER, PROMPTS, at="prompt", batch_size=size) for size in (1, 21))
    np.testing.assert_allclose(one.rates, many.rates, atol=1e-6)
    np.testing.assert_allclose(one.sample.signed, many.sample.signed, atol=1e-5)


def test_under_a_mask_what_is_off_is_never_recorded(model):
    busiest = int(record(model, TOKENIZER, PROMPTS).rates[:EXPERTS].argmax())
    with steer(model, ExpertMask(off=frozenset({(0, busiest)}))):
        masked = record(model, TOKENIZER, PROMPTS)
    assert masked.rates[busiest] == 0
    assert masked.rates[:EXPERTS].sum() == pytest.approx(TOP_K)


def test_recording_leaves_no_trace(model):
    ids = torch.tensor([[5, 6, 7]])
    before = model(ids).logits
    record(model, TOKENIZER, PROMPTS)
    assert hooks_of(model) == []
    assert torch.equal(model(ids).logits, before)


def test_an_interruption_leaves_no_trace(model):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(model, TOKENIZER, PROMPTS, progress=stop)
    assert hooks_of(model) == []


def test_a_model_in_training_is_recorded_as_it_answers_and_goes_on_training():
    model = tiny_model()
    model.config.attention_dropout = 0.5
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    quiet = record(model, TOKENIZER, PROMPTS).rates
    model.train()
    model.model.layers[1].eval()
    np.testing.assert_array_equal(record(model, TOKENIZER, PROMPTS).rates, quiet)
    assert model.training
    assert not model.model.layers[1].training


def test_another_thread_that_uses_the_model_is_not_recorded(model):
    alone = record(model, TOKENIZER, PROMPTS).rates
    others = []

    def in_another_thread():
        with torch.no_grad():
            others.append(model(torch.randint(5, 60, (2, 7))))

    def meanwhile(module, args):
        if threading.current_thread() is threading.main_thread():
            thread = threading.Thread(target=in_another_thread)
            thread.start()
            thread.join()

    handle = model.model.layers[1].register_forward_pre_hook(meanwhile)
    try:
        np.testing.assert_array_equal(record(model, TOKENIZER, PROMPTS).rates, alone)
    finally:
        handle.remove()
    assert others


def test_progress_counts_prompts(model):
    seen = []
    record(model, TOKENIZER, PROMPTS, batch_size=8, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(8, 21), (16, 21), (21, 21)]


def test_what_is_held_does_not_grow_with_the_prompts(model):
    few, many = (
        record(model, TOKENIZER, PromptSet("set", tuple(some_prompts(count))), batch_size=64) for count in (64, 640)
    )
    arrays = [
        sum(one.nbytes for one in (it.squares, it.gates, it.sample.total, it.sample.signed, it.sample.balance))
        for it in (few, many)
    ]
    assert arrays[0] == arrays[1]
    assert many.n == 640


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("end", "it can be 'last'"),
        (slice(50, None), "no token at slice"),
        ("response", "no reply"),
        (lambda ids: [True], "1 answers for the"),
        (lambda ids: [False] * len(ids), "no token at <lambda>"),
    ],
)
def test_tokens_that_are_not_there_are_refused(model, at, said):
    with pytest.raises(PromptError, match=said):
        record(model, TOKENIZER, PROMPTS, at=at)
    assert hooks_of(model) == []


def test_a_prompt_that_is_too_long_is_refused(model):
    prompts = PromptSet("long", (" ".join(["w1"] * 80),))
    with pytest.raises(PromptError, match="82 tokens, and the model reads at most 64"):
        record(model, TOKENIZER, prompts)


def test_no_prompts_and_a_batch_of_none_are_refused(model):
    with pytest.raises(PromptError, match="batch_size is 0"):
        record(model, TOKENIZER, PROMPTS, batch_size=0)
    with pytest.raises(PromptError, match="has no prompts"):
        record(model, TOKENIZER, PromptSet("empty", ()))


def test_a_dense_model_is_refused():
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=80, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with pytest.raises(UnsupportedModelError, match="dense"):
        record(LlamaForCausalLM(config), TOKENIZER, PROMPTS)
