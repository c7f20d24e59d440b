"""How likely a model is to go on with each of several texts: for a choice whose probabilities must be known exactly."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mote_backend.errors import InputError
from mote_backend.evaluating import evaluating
from mote_backend.padding import right_padded

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
    """Each continuation's log-probabilities after the prompt: the prompt is read once, then all of them as one batch.

    `temperature` divides the logits, as sampling does; 0 leaves them as they are. InputError where the prompt or a
    continuation is empty.
    """
    if not prompt_ids or not continuations or not all(continuations):
        raise InputError("A prompt and each of its continuations need at least one token to be scored.")
    device = model.get_input_embeddings().weight.device
    steered = contextlib.nullcontext() if steering is None or not mask else steering.apply(mask)
    scale = temperature or 1.0
    with torch.no_grad(), evaluating(model), steered:
        prompt = torch.tensor([list(prompt_ids)], device=device)
        read = model(input_ids=prompt, use_cache=True, logits_to_keep=1)
        first = F.log_softmax(read.logits[0, -1].float() / scale, dim=-1)
        later = _later(model, prompt, continuations, read.past_key_values, scale)
    scored = []
    for row, ids in enumerate(continuations):
        told = [float(first[ids[0]]), *(float(later[row, at, id_]) for at, id_ in enumerate(ids[1:]))]
        scored.append(Scored(tuple(ids), tuple(told)))
    return scored


def _later(model: Any, prompt: Tensor, continuations: Sequence[Sequence[int]], cache: Any, scale: float) -> Tensor:
    """[rows, tokens, vocabulary]: log-probabilities after each token of a continuation but its last."""
    rows = [list(one[:-1]) for one in continuations]
    if not any(rows):
        return torch.empty(0)
    rows = [one or [0] for one in rows]
    ids, seen = right_padded(rows, prompt.device)
    before = prompt.expand(len(rows), -1)
    if callable(getattr(cache, "batch_repeat_interleave", None)):
        cache.batch_repeat_interleave(len(rows))
        attention = torch.cat([torch.ones_like(before), seen], dim=1)
        logits = model(input_ids=ids, attention_mask=attention, past_key_values=cache, use_cache=True).logits
    else:  # a cache that cannot be repeated, such as a recurrent state
        whole, attention = torch.cat([before, ids], dim=1), torch.cat([torch.ones_like(before), seen], dim=1)
        logits = model(input_ids=whole, attention_mask=attention, use_cache=False).logits[:, prompt.shape[1] :]
    return F.log_softmax(logits.float() / scale, dim=-1)
