"""Run prompts through a model and record what its routers select, leaving no trace in the model."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch

from mote_backend.errors import PromptError, UnsupportedModelError
from mote_backend.evaluating import evaluating
from mote_backend.families import Site, find_sites, watch
from mote_backend.ftri.activity import Accumulator, Activity
from mote_backend.ftri.prompt_tokens import PromptTokens, context_length, encode
from mote_backend.ftri.prompts import PromptSet
from mote_backend.ftri.resampling import REPLICATES

At = Literal["last", "prompt", "sum", "response"] | slice | Callable[[list[int]], Sequence[bool]]
"""Which tokens of a prompt are looked at.

`last`: its last token, where the answer is decided, and where experts proved to have an effect; `prompt`: all its
tokens, those of the chat template too; `sum`: the same, summed and not averaged, as in the paper; `response`: those of
the given reply, which find the experts that write it and not those that decide on it; a slice of the prompt's tokens;
or a function that is given their ids and says for each whether it counts.
"""

Progress = Callable[[int, int], object]
"""Called with (prompts done, prompts in all)."""

_WINDOW = 256
"""Prompts that are sorted by length, so that little padding is computed, and that are in memory at once."""


def record(
    model: torch.nn.Module,
    tokenizer: Any,
    prompts: PromptSet,
    *,
    at: At = "last",
    system: str | None = None,
    raw: bool = False,
    template_kwargs: Mapping[str, Any] | None = None,
    batch_size: int = 16,
    seed: int = 0,
    stream: int = 0,
    replicates: int = REPLICATES,
    progress: Progress | None = None,
) -> Activity:
    """What the prompts make the model's routers select, under the mask that is set, if any.

    They go through the chat template, with `system` before them and `template_kwargs` such as `enable_thinking`; or as
    they stand, if `raw`. Memory does not depend on their number. `seed` and `stream` choose the half-samples (another
    `stream` for each set of a contrast). PromptError says what is wrong with a prompt, UnsupportedModelError with the
    model.
    """
    if batch_size < 1:
        raise PromptError(f"batch_size is {batch_size}; it is the number of prompts in a forward pass, 1 or more.")
    if not len(prompts):
        raise PromptError(f"The set {prompts.name!r} has no prompts.")
    sites = find_sites(model)
    sums = Accumulator([one.experts for one in sites], len(prompts), seed=seed, stream=stream, replicates=replicates)
    runner = _Runner(model, sites)
    pending = iter(prompts.prompts)
    done = 0
    with runner:
        while several := list(islice(pending, _WINDOW)):
            window = [
                encode(tokenizer, one, system=system, raw=raw, template_kwargs=template_kwargs) for one in several
            ]
            window.sort(key=lambda one: len(one.prompt) + len(one.reply))
            for start in range(0, len(window), batch_size):
                batch = window[start : start + batch_size]
                columns = [_columns(one, at) for one in batch]
                rates, gates = runner.run([_read(one, at) for one in batch], columns, mean=at != "sum")
                sums.add(rates, gates, [len(one) for one in columns])
                done += len(batch)
                if progress is not None:
                    progress(done, len(prompts))
    return sums.finish(prompts.name, prompts.digest, said(at))


def said(at: At) -> str:
    """In words, for a table. PromptError if it is nothing that `record` knows."""
    match at:
        case "last" | "prompt" | "sum" | "response":
            return at
        case slice():
            return f"slice({at.start}, {at.stop}, {at.step})"
    if callable(at):
        return str(getattr(at, "__name__", type(at).__name__))
    raise PromptError(
        f"at is {at!r}; it can be 'last', 'prompt', 'sum', 'response', a slice or a function of token ids."
    )


class _Runner:
    """A model whose routers are listened to while the context is open, by the thread that opened it."""

    def __init__(self, model: torch.nn.Module, sites: Sequence[Site]) -> None:
        self._model, self._sites = model, sites
        self._options: dict[str, Any] = {"use_cache": False}
        if "logits_to_keep" in inspect.signature(_inner(model).forward).parameters:
            self._options["logits_to_keep"] = 1
        self._longest = context_length(model)
        self._device = getattr(model, "device", torch.device("cpu"))
        self._thread = threading.get_ident()
        self._batch: _Batch | None = None
        self._open = ExitStack()

    def __enter__(self) -> None:
        self._open.enter_context(evaluating(self._model))
        for site in self._sites:
            self._open.callback(watch(site, self._seen).remove)

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def run(
        self, rows: Sequence[Sequence[int]], columns: Sequence[Sequence[int]], *, mean: bool
    ) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.float32]] | None]:
        """Observations and gate weights, both [B, F], of these tokens, looked at in these columns of each row."""
        longest = max(map(len, rows))
        if self._longest is not None and longest > self._longest:
            raise PromptError(f"A prompt has {longest} tokens, and the model reads at most {self._longest}.")
        # Padding stands on the right: no token looks ahead, so it changes nothing, and positions count from 0.
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        attended = torch.zeros_like(ids)
        for position, row in enumerate(rows):
            ids[position, : len(row)] = torch.tensor(row)
            attended[position, : len(row)] = 1
        self._batch = batch = _Batch(len(rows), longest, columns, mean)
        try:
            with torch.no_grad():
                self._model(input_ids=ids.to(self._device), attention_mask=attended.to(self._device), **self._options)
        finally:
            self._batch = None
        return batch.result(self._sites)

    def _seen(self, site: Site, indices: torch.Tensor, weights: torch.Tensor) -> None:
        if self._batch is not None and threading.get_ident() == self._thread:
            self._batch.add(site, indices, weights)


class _Batch:
    """What one forward pass selected, at the tokens that count."""

    def __init__(self, rows: int, length: int, columns: Sequence[Sequence[int]], mean: bool) -> None:
        self._rows, self._tokens = rows, rows * length
        flat = [row * length + column for row, its in enumerate(columns) for column in its]
        owner = [row for row, its in enumerate(columns) for _ in its]
        share = [1 / len(its) if mean else 1.0 for its in columns for _ in its]
        self._flat, self._owner = torch.tensor(flat), torch.tensor(owner)
        self._share = torch.tensor(share, dtype=torch.float32)
        self._rates: dict[int, torch.Tensor] = {}
        self._gates: dict[int, torch.Tensor | None] = {}

    def add(self, site: Site, indices: torch.Tensor, weights: torch.Tensor | None) -> None:
        """One router's call: experts [N, k] of N tokens, and their gate weights [N, k] if known."""
        if len(indices) != self._tokens or site.layer in self._rates:
            raise UnsupportedModelError(
                f"The router {site.name} did not see each of the batch's {self._tokens} tokens once, so its selections "
                "cannot be told apart by prompt."
            )
        if indices.device != self._flat.device:
            self._flat, self._owner, self._share = (
                one.to(indices.device) for one in (self._flat, self._owner, self._share)
            )
        chosen = indices[self._flat].long()
        real = (chosen >= 0) & (chosen < site.experts)  # some routers also choose "no expert"
        slots = (self._owner[:, None] * site.experts + chosen.clamp(0, site.experts - 1)).flatten()
        counted = self._share[:, None] * real
        zeros = torch.zeros(self._rows * site.experts, device=indices.device)
        self._rates[site.layer] = zeros.scatter_add(0, slots, counted.flatten())
        self._gates[site.layer] = (
            None if weights is None else zeros.scatter_add(0, slots, (counted * weights[self._flat].float()).flatten())
        )

    def result(
        self, sites: Sequence[Site]
    ) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.float32]] | None]:
        """Both [B, F], layer behind layer; a router that was not called, such as one for images, selected nothing."""
        if not self._rates:
            raise UnsupportedModelError(
                "No router of the model ran; is it compiled or wrapped so that hooks are skipped?"
            )
        gates = None if None in self._gates.values() else self._joined(sites, self._gates)
        return self._joined(sites, self._rates), gates

    def _joined(self, sites: Sequence[Site], parts: dict[int, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        cells = [
            parts[site.layer].view(self._rows, site.experts).cpu()
            if site.layer in parts
            else torch.zeros(self._rows, site.experts)
            for site in sites
        ]
        joined: np.ndarray[Any, np.dtype[np.float32]] = torch.cat(cells, 1).numpy()
        return joined


def _read(tokens: PromptTokens, at: At) -> list[int]:
    return tokens.prompt + tokens.reply if at == "response" else tokens.prompt


def _columns(tokens: PromptTokens, at: At) -> Sequence[int]:
    """The positions, in what is read, of the tokens that count."""
    length = len(tokens.prompt)
    columns: Sequence[int]
    if at == "last":
        columns = [length - 1]
    elif at in ("prompt", "sum"):
        columns = range(length)
    elif at == "response":
        columns = range(length, length + len(tokens.reply))
    elif isinstance(at, slice):
        columns = range(length)[at]
    elif callable(at):
        marks = list(at(list(tokens.prompt)))
        if len(marks) != length:
            raise PromptError(
                f"The function {said(at)} gave {len(marks)} answers for the {length} tokens it was given."
            )
        columns = [position for position, mark in enumerate(marks) if mark]
    else:
        said(at)
        columns = []
    if not columns:
        what = "reply" if at == "response" else f"token at {said(at)}"
        raise PromptError(f"The prompt {tokens.text[:80]!r} has no {what}; give it one, or look at other tokens.")
    return columns


def _inner(model: torch.nn.Module) -> torch.nn.Module:
    """The model inside a LoRA wrapper."""
    unwrap = getattr(model, "get_base_model", None)
    return unwrap() if callable(unwrap) else model
