"""Try many masks in few forward passes: what each does to a behaviour, and how far it moves harmless prompts."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mote_backend.errors import InputError, PromptError
from mote_backend.evaluating import evaluating
from mote_backend.ftri.behaviour import Behaviour
from mote_backend.ftri.measure import Measured
from mote_backend.ftri.prompt_tokens import encode
from mote_backend.ftri.prompts import Prompt
from mote_backend.mask import ExpertMask
from mote_backend.padding import left_padded
from mote_backend.steering import steer


class Probe:
    """Measures masks by the logits of the reply's first token, as many masks in a forward pass as fit."""

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        shown: Iterable[Any],
        harmless: Iterable[Any],
        behaviour: Behaviour | None,
        *,
        system: str | None = None,
        raw: bool = False,
        template_kwargs: Mapping[str, Any] | None = None,
        max_rows: int = 256,
    ) -> None:
        """`shown` are the prompts that show the behaviour, `harmless` those that must not change, both as `Prompt.of`
        reads them; without a `behaviour` only the drift is measured. `max_rows` bounds the rows of a forward pass.
        PromptError says what is wrong with a prompt."""
        if max_rows < 1:
            raise InputError(f"max_rows is {max_rows}; it is the number of rows in a forward pass, 1 or more.")
        self._model, self._behaviour, self._max_rows = model, behaviour, max_rows
        kinds = [[Prompt.of(one) for one in prompts] for prompts in (shown, harmless)]
        if not all(kinds):
            raise PromptError("A probe needs prompts that show the behaviour and harmless ones; one of them is empty.")
        encoded = [
            encode(tokenizer, one, system=system, raw=raw, template_kwargs=template_kwargs).prompt
            for one in (*(kinds[0] if behaviour else ()), *kinds[1])
        ]
        self._shown = len(kinds[0]) if behaviour else 0
        self._ids, self._attention = left_padded(encoded, getattr(model, "device", torch.device("cpu")))
        self._options = _options(model)
        self._bare: Tensor | None = None

    def __call__(self, masks: Sequence[ExpertMask | None]) -> list[Measured]:
        """Measure masks; deterministic, and without a trace in the model."""
        with torch.no_grad(), evaluating(self._model):
            if self._bare is None:
                logits = self._logits([None])[0]
                self._bare = logits[self._shown :].float().log_softmax(-1)
            several = max(1, self._max_rows // len(self._ids))
            return [
                measured
                for start in range(0, len(masks), several)
                for measured in self._measured(masks[start : start + several])
            ]

    def _measured(self, masks: Sequence[ExpertMask | None]) -> Iterator[Measured]:
        assert self._bare is not None
        for logits in self._logits(masks):
            shown, harmless = logits[: self._shown].float(), logits[self._shown :].float()
            scores = self._behaviour(shown) if self._behaviour else torch.zeros(0)
            if scores.shape != (self._shown,) or not bool(((scores > -1e-4) & (scores < 1.0001)).all()):
                raise InputError(
                    f"The behaviour gave {_short(scores)} for {self._shown} rows; it is to give a score from 0 to 1 "
                    "for each row of logits."
                )
            bare = self._bare
            gap = (bare - harmless.log_softmax(-1)).clamp(max=1e4)  # logits of -inf in one of them would give NaN
            drift = torch.where(bare > -100, bare.exp() * gap, 0.0).sum(-1).mean()
            yield Measured(float(scores.mean().clamp(0, 1)) if self._shown else 0.0, max(0.0, float(drift)))

    def _logits(self, masks: Sequence[ExpertMask | None]) -> Tensor:
        """[masks, prompts, vocabulary], of the first token of the reply."""
        prompts, length = self._ids.shape
        rows = [mask for mask in masks for _ in range(prompts)]
        ids, attention = self._ids.repeat(len(masks), 1), self._attention.repeat(len(masks), 1)
        parts = []
        for start in range(0, len(rows), self._max_rows):
            end = start + self._max_rows
            options = dict(self._options)
            if "position_ids" in options:
                options["position_ids"] = (attention[start:end].cumsum(-1) - 1).clamp(min=0)
            with steer(self._model, rows[start:end], prompt_length=length):
                output = self._model(input_ids=ids[start:end], attention_mask=attention[start:end], **options)
            parts.append(output.logits[:, -1])
        joined = torch.cat(parts)
        return joined.view(len(masks), prompts, joined.shape[-1])


def _options(model: nn.Module) -> dict[str, Any]:
    unwrap = getattr(model, "get_base_model", None)
    parameters = inspect.signature((unwrap() if callable(unwrap) else model).forward).parameters
    options: dict[str, Any] = {"use_cache": False}
    if "logits_to_keep" in parameters:
        options["logits_to_keep"] = 1
    if "position_ids" in parameters:
        options["position_ids"] = None
    return options


def _short(scores: Tensor) -> str:
    return (
        f"values of shape {tuple(scores.shape)} from {scores.min():.3g} to {scores.max():.3g}"
        if len(scores)
        else "none"
    )
