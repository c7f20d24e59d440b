"""Masks of a batch, compiled for a model: which row, and so which mask, each token of a forward belongs to."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mote_backend.errors import InputError, MaskError
from mote_backend.families import Site
from mote_backend.mask import ExpertMask
from mote_backend.routing import Switches

_FIRST, _SECOND = slice(0, 1), slice(1, 2)

_FEW_TOKENS = 256
"""Up to which a forward's switches are kept for the next: a batch that generates, not a prompt."""


@dataclass(frozen=True)
class Tables:
    """The masks as tensors. Row p * masks + m is mask m in phase p; there is one phase if no mask tells them apart."""

    layers: dict[int, Switches]
    """[rows, logits] for each layer that a mask touches."""
    masks: int
    phased: bool
    """Prompt tokens (p = 0) and generated ones (p = 1) differ."""


def compile_tables(sites: Sequence[Site], masks: Sequence[ExpertMask | None], device: torch.device) -> Tables:
    """Tables of the masks, which were checked against the model before."""
    phased = any(mask and mask.phase != "all" for mask in masks)
    phases = ("prefill", "decode") if phased else ("all",)
    rows = [
        mask if mask and (mask.phase in ("all", phase) or not phased) else None for phase in phases for mask in masks
    ]
    touched = {layer for mask in rows if mask for layer in mask.layers}
    layers = {site.layer: _switches(site, rows, device) for site in sites if site.layer in touched}
    return Tables(layers, len(masks), phased)


class Plan(threading.local):
    """Tables, and the place of the forward that is running in the batch and in the sequence: of each thread its own,
    since `asyncio.to_thread` and the like take a block's masks along."""

    def __init__(self, tables: Tables, prompt_length: int | None = None) -> None:
        self._tables = tables
        self._prompt_length = prompt_length
        self._told = prompt_length is not None
        self._rows: Tensor | slice | None = _FIRST if tables.masks == 1 and not tables.phased else None
        self.packed = False
        """The batch is packed, and said itself which token is whose."""
        self._known: dict[tuple[int, int, int, str], Tensor | slice] = {}
        self._taken_rows: Tensor | slice | None = None
        self._of_layers: dict[int, Switches] = {}

    @property
    def needs_prompt_length(self) -> bool:
        """Phases differ, and nobody said where the prompt ends."""
        return self._tables.phased and not self._told

    @property
    def phased(self) -> bool:
        """Whether it matters which tokens are the prompt's."""
        return self._tables.phased

    def prompt_is(self, length: int | None) -> None:
        """The first `length` columns of the batch are the prompt, its padding included; None: another comes."""
        self._prompt_length = length
        self._known.clear()

    def tokens_are(self, rows: Tensor, decode: Tensor | None = None) -> None:
        """For packed batches: which mask each token [tokens] has, and whether it is a generated one."""
        if self._tables.masks == 1:  # masks that are all alike are compiled as one
            rows = torch.zeros_like(rows)
        if self._tables.phased:
            if decode is None:
                raise InputError("A mask for one phase needs to know which tokens of a packed batch are generated.")
            rows = rows + decode.to(rows.dtype) * self._tables.masks
        self._rows, self.packed = rows, True

    def begin(self, batch: int, length: int, past: int, device: torch.device) -> None:
        """A forward of `batch` rows of `length` tokens starts, after `past` tokens in the cache."""
        tables = self._tables
        if tables.masks == 1 and not tables.phased:
            return
        if batch % tables.masks:
            raise InputError(
                f"There are {tables.masks} masks for a batch of {batch}; give one mask, or one for each row."
            )
        if not tables.phased:
            past = 0
        elif past == 0 and self._prompt_length is None:
            self._prompt_length = length
        if self._prompt_length is not None:
            past = min(past, self._prompt_length)  # behind the prompt, one place is as another
        key = (batch, length, past, str(device))
        if key not in self._known:
            if len(self._known) > 8:
                self._known.clear()
            self._known[key] = self._place(batch, length, past, device)
        self._rows = self._known[key]

    def switches(self, site: Site, tokens: int) -> Switches | None:
        """What is switched for the tokens of this forward of the site; None if nothing is."""
        table = self._tables.layers.get(site.layer)
        if table is None:
            return None
        if self._rows is None:
            raise InputError(
                "The masks differ by row or phase, and a part of the model was called from outside of it; call the "
                "model that the masks were given to."
            )
        if isinstance(self._rows, Tensor) and len(self._rows) != tokens:
            raise InputError(
                f"The router {site.name} saw {tokens} tokens where the batch has {len(self._rows)}, so that they "
                "cannot be told apart; use one mask for the whole batch."
            )
        return self._taken(site.layer, table, self._rows)

    def _taken(self, layer: int, table: Switches, rows: Tensor | slice) -> Switches:
        """The layer's switches of these rows, kept from one generated token to the next."""
        if rows is _FIRST and not self._tables.phased:
            return table
        if rows is not self._taken_rows:
            self._taken_rows, self._of_layers = rows, {}
        if (known := self._of_layers.get(layer)) is not None:
            return known
        taken = table.at(rows)
        if isinstance(rows, slice) or len(rows) <= _FEW_TOKENS:
            self._of_layers[layer] = taken
        return taken

    def _place(self, batch: int, length: int, past: int, device: torch.device) -> Tensor | slice:
        masks = self._tables.masks
        rows = torch.arange(masks, device=device).repeat_interleave(batch // masks * length)
        if not self._tables.phased:
            return rows
        prompt = self._prompt_length if self._prompt_length is not None else 0
        if masks == 1 and (past >= prompt or past + length <= prompt):
            return _SECOND if past >= prompt else _FIRST
        decode = torch.arange(past, past + length, device=device).ge(prompt).repeat(batch)
        return rows + decode * masks


def checked_rows(masks: ExpertMask | Sequence[ExpertMask | None] | None) -> tuple[ExpertMask | None, ...]:
    """The masks as given for a batch, as one for each row or one for all; empty masks are none."""
    if masks is None or isinstance(masks, ExpertMask):
        masks = [masks]
    rows = tuple(masks)
    for one in rows:
        if one is not None and not isinstance(one, ExpertMask):
            raise MaskError(f"A mask is an ExpertMask or None, not {type(one).__name__}.")
    if not rows:
        raise MaskError("The list of masks is empty; give one mask, or one for each row of the batch.")
    return tuple(one or None for one in rows)


def _switches(site: Site, rows: Sequence[ExpertMask | None], device: torch.device) -> Switches:
    def table() -> Tensor:
        return torch.zeros(len(rows), site.logits, dtype=torch.bool)

    off, on, lifted, zero = table(), table(), table(), table()
    bias, renormed = torch.zeros(len(rows), site.logits), torch.zeros(len(rows), 1, dtype=torch.bool)
    for at, mask in enumerate(rows):
        if mask is None:
            continue
        out = [expert for layer, expert in mask.off if layer == site.layer]
        (off if mask.mode == "remove" else zero)[at, out] = True
        renormed[at] = mask.mode == "zero_renorm"
        forced = [expert for layer, expert in mask.on if layer == site.layer]
        on[at, forced] = True
        lifted[at, forced] = mask.force == "max"
        for layer, expert, value in mask.bias:
            if layer == site.layer:
                bias[at, expert] = value

    def used(tensor: Tensor) -> Tensor | None:
        return tensor.to(device) if bool(tensor.any()) else None

    return Switches(used(off), used(on), used(lifted), used(bias), used(zero), used(renormed))
