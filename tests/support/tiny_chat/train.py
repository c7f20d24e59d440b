"""Makes the weights of the tiny chat model: `cd tests && python -m support.tiny_chat.train` (some minutes)."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

from mote_backend.chat.messages import plain_messages
from mote_backend.chat.prompt import prompt_ids
from mote_backend.mask import ExpertMask
from mote_backend.steering import Steering
from support.tiny_chat import FOLDER
from support.tiny_chat.conversations import Lesson, lessons

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKERS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
TEMPLATE = (Path(__file__).parent / "template.jinja").read_text().rstrip("\n")
VOCABULARY = 704
STEPS = 1100
ROWS = 16
HIGHEST_RATE = 4e-3


def tokenizer_of(several: Sequence[Lesson]) -> PreTrainedTokenizerFast:
    """Byte-level BPE over the lessons, a token for each digit."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=alphabet, special_tokens=SPECIAL, show_progress=False, min_frequency=3
    )
    plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), eos_token=SPECIAL[2])
    texts = [
        plain.apply_chat_template(
            [*plain_messages(lesson.messages), {"role": "assistant", "content": lesson.reply}],
            tools=list(lesson.tools) or None,
            chat_template=TEMPLATE,
            tokenize=False,
        )
        for lesson in several
    ]
    for marker in [*SPECIAL, *MARKERS]:
        texts = [text.replace(marker, "\n") for text in texts]
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=SPECIAL[0], eos_token=SPECIAL[2], extra_special_tokens=[SPECIAL[1]]
    )
    tokenizer.add_tokens([AddedToken(marker, special=False, normalized=False) for marker in MARKERS])
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def model_for(tokenizer: PreTrainedTokenizerFast) -> Qwen3MoeForCausalLM:
    """Two layers of eight experts, two of them for each token."""
    config = Qwen3MoeConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        num_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=48,
        norm_topk_prob=True,
        max_position_embeddings=2048,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        output_router_logits=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    return Qwen3MoeForCausalLM(config)


def train(model: Any, tokenizer: Any, several: Sequence[Lesson], steps: int = STEPS) -> None:
    """Only the replies are learnt. Half of the steps run without one expert of each layer, so that masks do no harm."""
    rows = [_row(tokenizer, lesson) for lesson in several]
    optimizer = torch.optim.AdamW(model.parameters(), lr=HIGHEST_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, HIGHEST_RATE, total_steps=steps, pct_start=0.1)
    draw = random.Random(0)
    steering = Steering(model)
    begun = time.monotonic()
    order: list[int] = []
    for step in range(steps):
        if len(order) < ROWS:
            order += draw.sample(range(len(rows)), len(rows))
        batch = sorted((rows[order.pop()] for _ in range(ROWS)), key=lambda row: len(row[0]))
        ids, mask, labels = _padded(batch, tokenizer.pad_token_id)
        off = {(layer, draw.randrange(8)) for layer in range(2)} if step % 2 else set()
        with steering.apply(ExpertMask(off=frozenset(off)) if off else None):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 49:
            taken = time.monotonic() - begun
            left = taken / (step + 1) * (steps - step - 1)
            print(f"step {step + 1}/{steps}  loss {loss.item():.4f}  {left:.0f} s left", file=sys.stderr)  # noqa: T201
    steering.detach()


def _row(tokenizer: Any, lesson: Lesson) -> tuple[list[int], list[int]]:
    prompt = list(prompt_ids(tokenizer, plain_messages(lesson.messages), tools=lesson.tools or None))
    reply = [*tokenizer(lesson.reply, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    return prompt + reply, [-100] * len(prompt) + reply


def _padded(rows: Sequence[tuple[list[int], list[int]]], pad: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in rows])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows])
    labels = torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in rows])
    return ids, mask, labels


def main(folder: Path = FOLDER) -> None:
    """Train and write `folder`."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    several = list(lessons())
    tokenizer = tokenizer_of(several)
    model = model_for(tokenizer)
    train(model, tokenizer, several)
    model.generation_config.do_sample = False
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
