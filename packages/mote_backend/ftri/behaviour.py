"""How strongly a model leans to a behaviour, read from the logits of its reply's first token: no text is generated.

The place where a reply is decided is the end of the prompt, so what comes first tells most of what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mote_backend.errors import InputError

Behaviour = Callable[[Tensor], Tensor]
"""Logits [rows, vocabulary] of the reply's first token → how much each row shows the behaviour [rows], 0 to 1."""


def first_token(tokenizer: Any, beginnings: Sequence[str]) -> Behaviour:
    """The probability that the reply opens as one of these texts does: of their first tokens together.

    Texts are taken as they stand and with a space before. InputError if there is no text, or one without tokens.
    """
    if not beginnings:
        raise InputError('There is no text whose first token could be looked for; give beginnings such as ["Sorry"].')
    ids = sorted({one for text in beginnings for one in _openings(tokenizer, text)})

    def probability(logits: Tensor) -> Tensor:
        return logits.softmax(-1)[:, torch.tensor(ids, device=logits.device)].sum(-1)

    return probability


def instead_of(tokenizer: Any, beginnings: Sequence[str], others: Sequence[str]) -> Behaviour:
    """How much more likely the reply opens as the first texts do than as the others do: their share of both. For
    behaviours whose openings are rare, such as one of two languages."""
    wanted, rest = first_token(tokenizer, beginnings), first_token(tokenizer, others)

    def share(logits: Tensor) -> Tensor:
        ours, theirs = wanted(logits), rest(logits)
        return ours / (ours + theirs).clamp(min=torch.finfo(ours.dtype).tiny)

    return share


def _openings(tokenizer: Any, text: str) -> set[int]:
    """The first token of the text as it stands and with a space before, but none that is only a space: many tokenizers
    put one before whatever they don't know as a word, and with it all such replies would count."""
    found = set()
    for variant in (text, " " + text.lstrip()):
        ids = tokenizer(variant, add_special_tokens=False)["input_ids"]
        if not ids:
            raise InputError(f"The text {text!r} has no tokens, so that no reply opens with it.")
        if ids[0] == tokenizer.unk_token_id:
            raise InputError(f"The tokenizer does not know how {text!r} begins; give a text in its vocabulary.")
        if str(tokenizer.decode(ids[:1])).strip():
            found.add(int(ids[0]))
    if not found:
        raise InputError(
            f"The first token of {text!r} is only a space, which tells nothing of what follows; select by a judge of "
            "whole replies instead."
        )
    return found
