"""Perplexity of a model on texts, with and without a mask."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mote_backend.errors import PromptError
from mote_backend.ftri.prompts import Prompt, PromptSet
from mote_backend.ftri.replies import Generate
from mote_backend.mask import ExpertMask

if TYPE_CHECKING:
    from torch import nn


def perplexity(
    model: nn.Module,
    tokenizer: Any,
    texts: Sequence[Any],
    mask: ExpertMask | None = None,
    *,
    system: str | None = None,
    raw: bool = False,
    template_kwargs: Mapping[str, Any] | None = None,
    batch_size: int = 16,
    max_tokens: int = 1024,
) -> float:
    """e to the mean negative log-likelihood (nats) of a token, over all tokens that are predicted.

    A text is read as it stands. A prompt with a reply (`{"prompt": …, "reply": …}`) goes through the chat template, or
    stands as it is if `raw`, and only the reply's tokens count; a mask for one phase tells the two apart. Texts are cut
    at `max_tokens`, and where the model reads no further. PromptError if there is nothing to predict.
    """
    import torch

    from mote_backend.evaluating import evaluating
    from mote_backend.ftri.prompt_tokens import context_length
    from mote_backend.padding import right_padded
    from mote_backend.steering import steer

    encoded = [_encoded(tokenizer, one, system=system, raw=raw, template_kwargs=template_kwargs) for one in texts]
    max_tokens = min(max_tokens, context_length(model) or max_tokens)
    rows = [(ids[:max_tokens], min(start, max_tokens)) for ids, start in encoded]
    rows = sorted((one for one in rows if len(one[0]) > one[1]), key=lambda one: len(one[0]))
    if not rows:
        raise PromptError("There is no text with a token to predict; give texts of two tokens or more.")
    device = getattr(model, "device", "cpu")
    total, count = 0.0, 0
    if mask is not None and mask.phase != "all":
        batch_size = 1  # each text's reply begins elsewhere
    with torch.no_grad(), evaluating(model):
        for first in range(0, len(rows), batch_size):
            batch = rows[first : first + batch_size]
            ids, attention = right_padded([one for one, _ in batch], device)
            with steer(model, mask, prompt_length=batch[0][1]):
                logits = model(input_ids=ids, attention_mask=attention, use_cache=False).logits
            columns = torch.arange(1, ids.shape[1], device=ids.device)
            starts = torch.tensor([start for _, start in batch], device=ids.device)
            counted = (columns >= starts[:, None]) & attention[:, 1:].bool()
            # Row by row: in fp32, a batch of long rows over a large vocabulary takes gigabytes.
            for row, its, chosen in zip(logits, ids, counted, strict=True):
                likely = row[:-1][chosen].float().log_softmax(-1).gather(-1, its[1:][chosen][:, None])
                total -= float(likely.double().sum())
                count += len(likely)
    return math.exp(min(700.0, total / count))


def reply_perplexity(
    model: nn.Module, tokenizer: Any, prompts: PromptSet, generate: Generate, **reading: Any
) -> Callable[[ExpertMask | None], float | None]:
    """For `judge_mask`: the perplexity, under a mask, of the prompts' right replies; where a prompt has none, of the
    one that `generate` gives without a mask. None if there is no token to predict.

    `reading` are further arguments of `perplexity`. A model finds its own replies likely, so that theirs is low without
    a mask, and any change of them shows.
    """

    def measured(mask: ExpertMask | None) -> float | None:
        open_ = [one for one in prompts.prompts if one.reply is None]
        made = iter(generate(open_, [None] * len(open_)) if open_ else [])
        told = [replace(one, reply=next(made)) if one.reply is None else one for one in prompts.prompts]
        try:
            return perplexity(model, tokenizer, [one for one in told if (one.reply or "").strip()], mask, **reading)
        except PromptError:
            return None

    return measured


def _encoded(tokenizer: Any, text: Any, **reading: Any) -> tuple[list[int], int]:
    """Token ids, and the position of the first that counts."""
    from mote_backend.ftri.prompt_tokens import encode

    if isinstance(text, str):
        return list(tokenizer(text)["input_ids"]), 1
    tokens = encode(tokenizer, Prompt.of(text), **reading)
    if not tokens.reply:
        raise PromptError(f"The prompt {tokens.text[:80]!r} has no reply whose tokens could be predicted; give it one.")
    return tokens.prompt + tokens.reply, len(tokens.prompt)
