"""Samples for the trainers: a tiny model's own replies to a few states, one of which is the right one in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from router_training.credit.advantages import TRL, Convention, group_relative, spread
from router_training.credit.groups import group_ids
from router_training.data.samples import Sample
from router_training.trainers.rows import Judged
from support.tiny_engine import byte_tokenizer, tiny_model

STATES = "abcd"
REPLIES = ("ab", "ce", "do")
"""To each state; the right one is the state's place, modulo 3."""


def tiny(**settings: Any) -> tuple[Any, Any]:
    """A model and its tokenizer, quick to train; the same each time."""
    model = tiny_model("qwen3", hidden_size=16, intermediate_size=24, num_attention_heads=2, **settings)
    return model, byte_tokenizer()


@torch.no_grad()
def said(model: Any, prompt: list[int], reply: list[int], *, temperature: float = 1.0) -> list[float]:
    """Log-probs of a reply, computed in the plainest way."""
    logits = model(torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1].float() / temperature
    return [float(row.log_softmax(-1)[token]) for row, token in zip(logits, reply, strict=True)]


def judged(model: Any, tokenizer: Any, *, times: int = 1, known: bool = True, temperature: float = 1.0) -> list[Judged]:
    """All replies to all states, with a reward of 1 for the right one."""
    found = []
    for number in range(times):
        for place, state in enumerate(STATES):
            prompt = tokenizer(f"{'xy' * place}{state}?")["input_ids"]
            for which, text in enumerate(REPLIES):
                reply = [*tokenizer(text * (1 + which))["input_ids"], tokenizer.eos_token_id]
                logprobs = said(model, prompt, reply, temperature=temperature) if known else None
                sample = Sample(f"r{number}{state}{which}", 1, f"q{state}", f"kb:{text}", prompt, reply, logprobs)
                found.append(Judged(sample, float(which == place % 3), state))
    return with_advantages(found, Convention())


def weights_of(folder: Any) -> dict[str, torch.Tensor]:
    """The tensors of a saved policy."""
    from safetensors.torch import load_file

    return load_file(next(folder.glob("*.safetensors")))


def with_advantages(judged: Sequence[Judged], convention: Convention = TRL) -> list[Judged]:
    """Each with its advantage over those of its state."""
    rewards, groups = [one.reward for one in judged], group_ids(one.state for one in judged)
    advantages, kept = group_relative(rewards, groups, convention), spread(rewards, groups)
    return [
        replace(one, advantage=float(value), differs=bool(differs))
        for one, value, differs in zip(judged, advantages, kept.mask, strict=True)
    ]
