import json

import pytest
import torch

from mote_backend.errors import InputError
from mote_backend.ftri.perplexity import perplexity, reply_perplexity
from mote_backend.ftri.prompt_tokens import encode
from mote_backend.ftri.prompts import Prompt, PromptSet
from mote_backend.ftri.replies import KeptReplies, Replies
from mote_backend.mask import ExpertMask
from mote_backend.steering import steer
from support.lively import lively_model
from support.tiny_routed import some_prompts, word_tokenizer

TOKENIZER = word_tokenizer()
PROMPTS = [Prompt.of(one) for one in some_prompts(6, seed=4)]
MASKS = [None, ExpertMask(off=frozenset({(0, 1), (1, 2)})), ExpertMask(on=frozenset({(2, 3)}))] * 2


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return lively_model()


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_replies_in_a_batch_of_many_masks_are_those_of_each_alone(model, batch_size):
    replies = Replies(model, TOKENIZER, max_tokens=6, batch_size=batch_size)(PROMPTS, MASKS)
    for prompt, mask, reply in zip(PROMPTS, MASKS, replies, strict=True):
        ids = TOKENIZER.apply_chat_template(
            [{"role": "user", "content": prompt.text}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.no_grad(), steer(model, mask):
            tokens = model.generate(**ids, do_sample=False, max_new_tokens=6, pad_token_id=0)
        assert reply == TOKENIZER.decode(tokens[0, ids["input_ids"].shape[1] :], skip_special_tokens=True).strip()


class Counting:
    """Echoes; fails once it was asked for `most` replies."""

    def __init__(self, most=10**9):
        self.settings = {"kind": "echo"}
        self.made, self.most = 0, most

    def __call__(self, prompts, masks):
        if self.made + len(prompts) > self.most:
            raise KeyboardInterrupt
        self.made += len(prompts)
        return [f"{one.text} {mask.id if mask else ''}" for one, mask in zip(prompts, masks, strict=True)]


def test_a_reply_is_made_once(tmp_path):
    kept = KeptReplies(counting := Counting(), tmp_path / "replies.jsonl")
    first = kept(PROMPTS + PROMPTS, MASKS + MASKS)
    assert counting.made == len(PROMPTS)
    assert first == kept(PROMPTS + PROMPTS, MASKS + MASKS) == Counting()(PROMPTS + PROMPTS, MASKS + MASKS)
    assert kept(PROMPTS[:1], [ExpertMask()]) == kept(PROMPTS[:1], [None])
    assert counting.made == len(PROMPTS)


def test_an_interrupted_run_goes_on_where_it_was(tmp_path):
    path = tmp_path / "replies.jsonl"
    with pytest.raises(KeyboardInterrupt):
        KeptReplies(Counting(most=4), path, chunk=2)(PROMPTS, MASKS)
    path.write_text(path.read_text() + '{"settings": "cut o')
    again, progress = Counting(), []
    kept = KeptReplies(again, path, chunk=1)
    kept.fill(PROMPTS, MASKS, lambda done, total: progress.append((done, total)))
    assert again.made == 2
    assert progress == [(1, 2), (2, 2)]
    assert kept(PROMPTS, MASKS) == Counting()(PROMPTS, MASKS)
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 6


def test_replies_of_other_settings_are_not_taken(tmp_path):
    KeptReplies(Counting(), tmp_path / "r.jsonl")(PROMPTS, MASKS)
    other = KeptReplies(counting := Counting(), tmp_path / "r.jsonl", settings={"kind": "other"})
    other(PROMPTS, MASKS)
    assert counting.made == len(PROMPTS)


def test_a_file_of_something_else_and_a_generator_that_loses_replies_are_refused(tmp_path):
    (tmp_path / "x").write_text("hello\n")
    with pytest.raises(InputError, match=r"Line 1 of .* is no reply"):
        KeptReplies(Counting(), tmp_path / "x")
    with pytest.raises(InputError, match="6 replies were asked for and 1 came"):
        KeptReplies(lambda prompts, masks: ["one"])(PROMPTS, MASKS)
    with pytest.raises(InputError, match="both are 1 or more"):
        Replies(None, None, max_tokens=0)


def test_a_model_in_training_replies_as_it_would_in_use():
    model = lively_model()
    made = Replies(model, TOKENIZER, max_tokens=3)
    expected = made(PROMPTS, [None] * len(PROMPTS))
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.9
    model.train()
    assert made(PROMPTS, [None] * len(PROMPTS)) == expected
    assert all(one.training for one in model.modules())


def test_perplexity_is_that_of_each_text_alone_and_a_mask_moves_it(model):
    texts = ["w1 w2 w3 w4", "w5 w6"]
    told = 0.0
    for text in texts:
        ids = torch.tensor([TOKENIZER(text)["input_ids"]])
        with torch.no_grad():
            told -= float(model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None]).sum())
    assert perplexity(model, TOKENIZER, texts) == pytest.approx(torch.tensor(told / 4).exp().item(), rel=1e-4)
    assert perplexity(model, TOKENIZER, texts, MASKS[1]) != pytest.approx(perplexity(model, TOKENIZER, texts), rel=1e-3)


@pytest.mark.parametrize("phase", [None, "all", "prefill", "decode"])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_only_a_replys_tokens_count_and_a_mask_for_one_phase_tells_them_from_the_prompts(model, phase, batch_size):
    both = [{"prompt": "w1 w2", "reply": "w3 w4 w5"}, {"prompt": "w7", "reply": "w8 w9"}]
    mask = (
        ExpertMask(off=frozenset((layer, expert) for layer in range(3) for expert in range(6)), phase=phase)
        if phase
        else None
    )
    told, count = 0.0, 0
    for one in both:
        tokens = encode(TOKENIZER, Prompt.of(one))
        start, ids = len(tokens.prompt), torch.tensor([tokens.prompt + tokens.reply])
        with torch.no_grad(), steer(model, mask):
            prompt = model(input_ids=ids[:, :start], use_cache=True)
            reply = model(input_ids=ids[:, start:], past_key_values=prompt.past_key_values, use_cache=True)
        logits = torch.cat([prompt.logits[0, -1:], reply.logits[0, :-1]])
        told -= float(logits.log_softmax(-1).gather(-1, ids[0, start:, None]).sum())
        count += len(tokens.reply)
    expected = torch.tensor(told / count).exp().item()
    assert perplexity(model, TOKENIZER, both, mask, batch_size=batch_size) == pytest.approx(expected, rel=1e-4)


def test_a_text_is_cut_where_the_model_reads_no_further(model):
    words = [f"w{number % 50}" for number in range(90)]
    assert model.config.max_position_embeddings == 64
    assert perplexity(model, TOKENIZER, [" ".join(words)]) == perplexity(model, TOKENIZER, [" ".join(words[:64])])


def test_a_text_without_a_token_to_predict_is_refused(model):
    with pytest.raises(InputError, match="no text with a token to predict"):
        perplexity(model, TOKENIZER, ["w1"])


@pytest.mark.parametrize("raw", [False, True])
def test_the_perplexity_of_replies_is_that_of_the_right_ones_or_else_of_those_without_a_mask(model, raw):
    given = PromptSet("both", ({"prompt": "w1 w2", "reply": "w3 w4"}, "w5 w6"))
    replies = Replies(model, TOKENIZER, max_tokens=3, raw=raw)
    own = replies(given.prompts[1:], [None])[0]
    texts = [given.prompts[0], {"prompt": "w5 w6", "reply": own}]
    measured = reply_perplexity(model, TOKENIZER, given, replies, raw=raw)
    for mask in (None, MASKS[1]):
        assert measured(mask) == perplexity(model, TOKENIZER, texts, mask, raw=raw)
    mute = reply_perplexity(model, TOKENIZER, PromptSet("one", ("w5",)), lambda prompts, masks: ["" for _ in prompts])
    assert mute(None) is None
