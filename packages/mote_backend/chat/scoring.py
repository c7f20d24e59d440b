"""How likely a model is to go on with each of several texts: for a choice whose probabilities must be known exactly."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mote_backend.chat.context import context_of
from mote_backend.errors import ContextLengthError, InputError
from mote_backend.evaluating import evaluating
from mote_backend.padding import right_padded

_AT_ONCE = 16
"""Continuations in one batch: each has a copy of what was read of the prompt."""

if TYPE_CHECKING:
    from mote_backend.mask import ExpertMask
    from mote_backend.steering import Steering


@dataclass(frozen=True)
class Scored:
    """A continuation, to the token."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Of each token after those before it, in nats."""

    @property
    def total(self) -> float:
        """The continuation's log-probability, in nats."""
        return sum(self.logprobs)


def score(
    model: Any,
    prompt_ids: Sequence[int],
    continuations: Sequence[Sequence[int]],
    *,
    temperature: float = 1.0,
    steering: Steering | None = None,
    mask: ExpertMask | None = None,
) -> list[Scored]:
    """Each continuation's log-probabilities after the prompt: the prompt is read once, then they in batches of 16.

    `temperature` divides the logits, as sampling does; 0 leaves them as they are. InputError where the prompt or a
    continuation is empty, or `temperature` is below 0; ContextLengthError where they are too long.
    """
    _check(model, prompt_ids, continuations, temperature)
    device = model.get_input_embeddings().weight.device
    steered = contextlib.nullcontext() if steering is None or not mask else steering.apply(mask)
    scale = temperature or 1.0
    with torch.no_grad(), evaluating(model), steered:
        prompt = torch.tensor([list(prompt_ids)], device=device)
        read = model(input_ids=prompt, use_cache=True, logits_to_keep=1)
        first = F.log_softmax(read.logits[0, -1].float() / scale, dim=-1)
        cache, scored = getattr(read, "past_key_values", None), []
        for start in range(0, len(continuations), _AT_ONCE):
            some = continuations[start : start + _AT_ONCE]
            is_last = start + _AT_ONCE >= len(continuations)
            later = _later(model, prompt, some, cache if is_last else copy.deepcopy(cache), scale)
            for row, ids in enumerate(some):
                told = [float(first[ids[0]]), *(float(later[row, at, id_]) for at, id_ in enumerate(ids[1:]))]
                scored.append(Scored(tuple(ids), tuple(told)))
    return scored


def _check(model: Any, prompt_ids: Sequence[int], continuations: Sequence[Sequence[int]], temperature: float) -> None:
    if not prompt_ids or not continuations or not all(continuations):
        raise InputError("A prompt and each of its continuations need at least one token to be scored.")
    if not 0 <= temperature < math.inf:
        raise InputError(f"temperature is {temperature}; it must be a number from 0 up.")
    size = model.get_input_embeddings().num_embeddings
    if not all(0 <= id_ < size for ids in (prompt_ids, *continuations) for id_ in ids):
        raise InputError(f"A text has a token beyond the model's {size}; is the tokenizer another model's?")
    context, longest = context_of(model), max(map(len, continuations))
    if context is not None and len(prompt_ids) + longest > context:
        raise ContextLengthError(
            f"The prompt has {len(prompt_ids)} tokens and the longest text {longest}, and the model's context holds "
            f"{context}; shorten them."
        )


def _can_be_repeated(cache: Any) -> bool:
    """Not where a layer has a recurrent state."""
    each = getattr(cache, "layers", None) or [cache]
    return all(callable(getattr(one, "batch_repeat_interleave", None)) for one in (cache, *each))


def _later(model: Any, prompt: Tensor, continuations: Sequence[Sequence[int]], cache: Any, scale: float) -> Tensor:
    """[rows, tokens, vocabulary]: log-probabilities after each token of a continuation but its last."""
    rows = [list(one[:-1]) for one in continuations]
    if not any(rows):
        return torch.empty(0)
    rows = [one or [0] for one in rows]
    ids, seen = right_padded(rows, prompt.device)
    before = prompt.expand(len(rows), -1)
    if _can_be_repeated(cache):
        cache.batch_repeat_interleave(len(rows))
        attention = torch.cat([torch.ones_like(before), seen], dim=1)
        logits = model(input_ids=ids, attention_mask=attention, past_key_values=cache, use_cache=True).logits
    else:
        whole, attention = torch.cat([before, ids], dim=1), torch.cat([torch.ones_like(before), seen], dim=1)
        logits = model(input_ids=whole, attention_mask=attention, use_cache=False).logits[:, prompt.shape[1] :]
    return F.log_softmax(logits.float() / scale, dim=-1)
