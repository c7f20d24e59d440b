"""The engine: one batch for all who ask, and each gets what it would get alone."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import warnings
import weakref
from collections.abc import Iterator

import pytest
import torch

from mote_backend.chat.batches import pack
from mote_backend.chat.completion import Completion, Piece, Request
from mote_backend.chat.engine import Engine
from mote_backend.chat.sampling import Sampling
from mote_backend.errors import EngineClosedError, InputError, MaskError, MoTEError, UnsupportedModelError
from mote_backend.evaluating import evaluating
from mote_backend.grammar.grammar import Constraint
from mote_backend.mask import ExpertMask
from mote_backend.steering import steer
from support.tiny_engine import LONGEST, byte_tokenizer, tiny_model

TOKENIZER = byte_tokenizer()
NEVER_ENDS = {"max_tokens": 400, "temperature": 1.0, "seed": 0, "top_k": 3}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(tiny_model(), TOKENIZER, window_s=0.05) as engine:
        yield engine


def request(text: str, mask: ExpertMask | None = None, **way: object) -> Request:
    return Request(tuple(TOKENIZER(text)["input_ids"]), Sampling.of(**{"max_tokens": 16, **way}), mask)


def ids(completion: Completion) -> list[int]:
    return [token.id for token in completion.tokens]


def mixed() -> list[Request]:
    masks = [
        None,
        ExpertMask(off=frozenset({(0, 1), (1, 2)})),
        ExpertMask(on=frozenset({(1, 5)})),
        ExpertMask(off=frozenset({(0, 3)}), phase="prefill"),
        ExpertMask(off=frozenset({(0, 3), (1, 4)}), phase="decode"),
        ExpertMask(bias=frozenset({(0, 2, 3.0)})),
    ]
    ways = [{}, {"temperature": 0.9, "seed": 3}, {"temperature": 1.3, "top_k": 9, "seed": 4, "repetition_penalty": 1.2}]
    return [
        request("tell me " * (1 + at % 4) + str(at), mask, **ways[at % 3], **({"stop": ["e"]} if at % 2 else {}))
        for at, mask in enumerate(masks * 3)
    ]


def test_a_batch_of_mixed_masks_and_ways_gives_each_what_it_gets_alone(engine: Engine) -> None:
    requests = mixed()
    alone = [engine.complete(one) for one in requests]
    before = len(engine.batch_sizes)
    together = [future.result() for future in [engine.submit(one) for one in requests]]
    assert engine.batch_sizes[before:] == (len(requests),)
    for one, other in zip(alone, together, strict=True):
        assert (ids(one), one.text, one.finish_reason) == (ids(other), other.text, other.finish_reason)
        assert [a.logprob for a in one.tokens] == pytest.approx([b.logprob for b in other.tokens], abs=1e-4)
    assert len({tuple(ids(one)) for one in alone}) > len(alone) // 2


def test_greedy_tokens_are_those_of_generate_whatever_the_checkpoint_likes() -> None:
    model = tiny_model()
    prompt = torch.tensor([TOKENIZER("hello you")["input_ids"]])
    told = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, pad_token_id=0)
    expected = told[0, prompt.shape[1] :].tolist()
    likes = {
        "do_sample": True,
        "temperature": 0.6,
        "top_p": 0.5,
        "repetition_penalty": 1.7,
        "max_length": 30,
        "num_beams": 2,
    }
    model.generation_config.update(**likes)
    with Engine(model, TOKENIZER) as engine, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ids(engine.complete(request("hello you", max_tokens=20))) == expected


def test_a_dense_model_needs_no_mask_and_refuses_one_in_a_sentence() -> None:
    with Engine(tiny_model("qwen3"), TOKENIZER) as engine:
        assert engine.complete(request("a")).tokens
        with pytest.raises(MoTEError, match="dense model"):
            engine.submit(request("a", ExpertMask(off=frozenset({(0, 0)}))))


def test_a_reply_up_to_the_end_of_the_context_leaves_the_others_of_its_batch_alone() -> None:
    settings = {"n_embd": 32, "n_layer": 2, "n_head": 4, "max_position_embeddings": 64}  # GPT-2's positions are learned
    model = tiny_model("gpt2", **settings, bos_token_id=0, eos_token_id=0)
    way = {"max_tokens": None, "temperature": 1.0, "seed": 1}
    requests = [request("x" * length, **way) for length in (60, 3, 30)]
    with Engine(model, TOKENIZER, window_s=0.1) as engine:
        together = [future.result() for future in [engine.submit(one) for one in requests]]
        assert engine.batch_sizes == (3,)
        assert [ids(one) for one in together] == [ids(engine.complete(one)) for one in requests]
    assert {len(one.prompt_ids) + len(one.tokens) for one in together if not one.ended} == {64}


def test_a_mask_that_the_family_cannot_take_is_the_error_of_its_own_request_as_it_stands() -> None:
    model = tiny_model("llama4_text", num_local_experts=4, num_experts_per_tok=1, intermediate_size_mlp=48)
    zero = ExpertMask(off=frozenset({(0, 1)}), mode="zero")
    with Engine(model, TOKENIZER, window_s=0.1) as engine:
        refused, fine = engine.submit(request("a", zero)), engine.submit(request("b"))
        assert fine.result().tokens
        with pytest.raises(UnsupportedModelError, match='mode "remove" can'):
            refused.result()


@pytest.mark.parametrize("way", [{}, {"temperature": 1.0, "seed": 0}, {"temperature": 1.0, "top_k": 3}])
def test_a_model_whose_logits_are_no_numbers_gives_no_reply(way: dict[str, object]) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with Engine(model, TOKENIZER) as engine, pytest.raises(MoTEError, match="logits are no numbers"):
        engine.complete(request("a", **way))


def test_a_model_in_training_trains_again_when_the_last_of_two_that_evaluate_it_is_done() -> None:
    model = tiny_model().train()
    model.lm_head.eval()
    with contextlib.ExitStack() as last:
        with evaluating(model):
            last.enter_context(evaluating(model))
        assert not any(one.training for one in model.modules())
    assert [one for one in model.modules() if not one.training] == [model.lm_head]


def test_a_stop_text_across_tokens_ends_its_row_alone(engine: Engine) -> None:
    whole = engine.complete(request("go on", **NEVER_ENDS))
    text = whole.text
    at = next(at for at in range(8, len(text)) if text[at : at + 3].isascii() and text.find(text[at : at + 3]) == at)
    stop = text[at : at + 3]
    futures = [engine.submit(request("go on", **NEVER_ENDS, stop=stop)), engine.submit(request("go on", **NEVER_ENDS))]
    cut, other = [future.result() for future in futures]
    assert (cut.text, cut.stop, cut.finish_reason) == (text[:at], stop, "stop")
    assert ids(cut) == ids(whole)[: len(cut.tokens)]
    assert ids(other) == ids(whole)


def test_pieces_put_together_are_the_whole_and_nothing_of_the_stop_text_shows(engine: Engine) -> None:
    text = engine.complete(request("go on", **NEVER_ENDS)).text
    stop = text[20:23]
    *pieces, last = engine.stream(request("go on", **NEVER_ENDS, stop=stop))
    assert isinstance(last, Completion)
    assert "".join(piece.text for piece in pieces) == last.text == text[: text.index(stop)]
    assert [token for piece in pieces for token in piece.tokens] == list(last.tokens)


def test_rows_stream_out_of_one_batch(engine: Engine) -> None:
    seen: list[int] = []
    futures = [engine.submit(request(f"row {at}", max_tokens=5), lambda _, at=at: seen.append(at)) for at in range(3)]
    lengths = [len(future.result().tokens) for future in futures]
    assert engine.batch_sizes[-1] == 3
    assert seen[:6] == [0, 1, 2, 0, 1, 2]
    assert len(seen) == sum(lengths)


def test_a_stream_that_is_broken_off_frees_the_engine() -> None:
    with Engine(tiny_model(num_hidden_layers=4), TOKENIZER) as engine:
        long = request("go", **NEVER_ENDS)
        started = time.monotonic()
        length = len(engine.complete(long).tokens)
        whole_s = time.monotonic() - started
        assert length > 100
        stream = engine.stream(long)
        assert isinstance(next(stream), Piece)
        stream.close()
        started = time.monotonic()
        engine.complete(request("x", max_tokens=1))
        assert time.monotonic() - started < whole_s / 2


def test_a_listener_that_fails_ends_its_own_row_only(engine: Engine) -> None:
    def broken(piece: Piece) -> None:
        raise RuntimeError("nobody is here")

    lost, fine = engine.submit(request("a"), broken), engine.submit(request("b"))
    assert fine.result().tokens
    assert lost.cancelled()


def test_too_late_is_one_sentence_and_ends_the_row(engine: Engine) -> None:
    with pytest.raises(TimeoutError, match=r"within 0\.01 seconds"):
        engine.complete(request("go", **NEVER_ENDS), timeout_s=0.01)
    with pytest.raises(TimeoutError, match=r"within 0\.01 seconds"):
        list(engine.stream(request("go", **NEVER_ENDS), timeout_s=0.01))


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (Request((), Sampling()), "no tokens"),
        (Request((10**6,), Sampling()), "another model's"),
        (Request((1,) * LONGEST, Sampling()), f"{LONGEST} tokens"),
    ],
)
def test_a_prompt_that_cannot_be_run_is_refused_before_it_enters_a_batch(
    engine: Engine, bad: Request, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        engine.submit(bad)


def test_a_mask_that_does_not_fit_is_refused_before_it_enters_a_batch(engine: Engine) -> None:
    with pytest.raises(MaskError, match="expert 99"):
        engine.submit(request("a", ExpertMask(off=frozenset({(0, 99)}))))


def test_a_reply_fills_the_context_and_no_more(engine: Engine) -> None:
    prompt = (5,) * (LONGEST - 3)
    done = engine.complete(Request(prompt, Sampling(max_tokens=None, temperature=1.0, seed=1)))
    assert len(done.tokens) == 3
    assert done.finish_reason == "length"


def test_one_row_that_breaks_the_model_leaves_the_others_their_answers() -> None:
    model = tiny_model()
    forward = model.forward

    def fragile(*args: object, **kwargs: object) -> object:
        if (kwargs["input_ids"] == 66).any():
            raise torch.OutOfMemoryError("no memory left\nmore about it")
        return forward(*args, **kwargs)

    model.forward = fragile
    with Engine(model, TOKENIZER) as engine:
        bad = Request((66, 7, 8), Sampling(max_tokens=4))
        futures = [engine.submit(one) for one in [bad, *(Request((n, n, n), Sampling(max_tokens=1)) for n in range(5))]]
        with pytest.raises(MoTEError, match=r"OutOfMemoryError: no memory left\)\.$"):
            futures[0].result()
        assert [len(future.result().tokens) for future in futures[1:]] == [1] * 5


def test_a_constraint_holds_one_row_and_not_its_neighbour(engine: Engine) -> None:
    pytest.importorskip("llguidance")
    held = request("a", constraint=Constraint.choice(["yes", "no"]), temperature=1.0, seed=0)
    futures = [engine.submit(held), engine.submit(request("a"))]
    assert futures[0].result().text in ("yes", "no")
    assert futures[0].result().finish_reason == "stop"
    assert ids(futures[1].result()) == ids(engine.complete(request("a")))


def test_a_model_in_training_generates_without_dropout_and_goes_on_training() -> None:
    model = tiny_model(attention_dropout=0.5).train()
    with Engine(model, TOKENIZER) as engine:
        first, second = (ids(engine.complete(request("a"))) for _ in range(2))
    assert first == second
    assert model.training


def test_closing_fails_what_runs_and_what_waits_and_refuses_what_comes() -> None:
    engine = Engine(tiny_model(), TOKENIZER, max_batch=1)
    started = threading.Event()
    running = engine.submit(request("go", **NEVER_ENDS), lambda _: started.set())
    waiting = engine.submit(request("go", **NEVER_ENDS))
    assert started.wait(10)
    engine.close()
    for future in (running, waiting):
        with pytest.raises(EngineClosedError):
            future.result(10)
    with pytest.raises(EngineClosedError):
        engine.submit(request("a"))


def test_a_forgotten_engine_answers_what_it_was_asked_and_lets_the_model_go() -> None:
    model = tiny_model()
    gone = weakref.ref(model)
    future = Engine(model, TOKENIZER).submit(request("a", ExpertMask(off=frozenset({(0, 0)}))))
    del model
    assert future.result(10).tokens
    deadline = time.monotonic() + 10
    while gone() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert gone() is None


def test_two_engines_on_one_model_share_its_masks() -> None:
    model = tiny_model()
    masked = request("a", ExpertMask(off=frozenset({(0, 0), (1, 1)})))
    with Engine(model, TOKENIZER) as one:
        bare = ids(one.complete(request("a")))
        with steer(model, None):  # a user steers it too
            told = ids(one.complete(masked))
    with Engine(model, TOKENIZER) as one, Engine(model, TOKENIZER, max_batch=2) as other:
        assert ids(one.complete(masked)) == ids(other.complete(masked)) == told != bare


def test_prompts_are_packed_by_length_within_the_limits_and_none_is_lost() -> None:
    assert pack([5, 100, 6, 5], 32, 200) == [[0, 2, 3], [1]]
    assert pack([300, 10], 32, 200) == [[0], [1]]
    assert pack([1] * 5, 2, 200) == [[0, 1], [2, 3], [4]]
    assert pack([], 2, 200) == []
