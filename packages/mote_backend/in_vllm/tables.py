"""The masks of the requests in flight as buffers that stay where they are on the device: only their contents change.

A CUDA graph replays the addresses it was captured with; so nothing here is ever allocated anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mote_backend.fingerprint import Fingerprint
from mote_backend.mask import ExpertMask


@dataclass(frozen=True)
class Span:
    """The tokens of one request in a step."""

    mask: ExpertMask | None
    tokens: int
    first: int
    """Position of the first of them in the request."""
    prompt: int
    """Tokens of the request's prompt: what comes before is prefill, what follows is decode, however it is chunked."""


class MaskTables:
    """One row for each mask in flight; row 0 switches nothing. `row_of_token` says which row each token follows."""

    def __init__(self, model: Fingerprint, rows: int, tokens: int, device: torch.device | str = "cpu") -> None:
        """`rows`: masks that can be in flight at once; `tokens`: the longest step, padding included."""
        shape = (model.layers, rows + 1, max(model.experts))
        self.model = model
        self.shift = torch.zeros(shape, dtype=torch.float32, device=device)
        """[layers, rows, experts], added to the logits: -inf is off."""
        self.on = torch.zeros(shape, dtype=torch.bool, device=device)
        """[layers, rows, experts], forced on."""
        self.zero = torch.zeros(shape, dtype=torch.bool, device=device)
        """[layers, rows, experts], selected as ever, then weighted 0."""
        self.rescale = torch.zeros(rows + 1, dtype=torch.bool, device=device)
        """[rows], whether the weights that are left are scaled up to the same sum."""
        self.row_of_token = torch.zeros(tokens, dtype=torch.long, device=device)
        self._rows: OrderedDict[ExpertMask, int] = OrderedDict()
        self._free = list(range(rows, 0, -1))
        self._clear = True

    def fill(self, spans: Sequence[Span]) -> None:
        """Set the step's tokens, which lie one request after the other in this order. Free while no mask is in use."""
        masks = dict.fromkeys(span.mask for span in spans if span.mask)
        if not masks:
            if not self._clear:
                self.row_of_token.zero_()
            self._clear = True
            return
        self._clear = False
        row_of = {mask: self._row(mask, masks) for mask in masks}
        rows: list[int] = []
        for span in spans:
            rows += _rows_of(span, row_of[span.mask] if span.mask else 0)
        # What lies beyond them is padding, whose experts do not matter.
        self.row_of_token[: len(rows)] = torch.tensor(rows, dtype=torch.long)

    def named(self) -> list[tuple[str, torch.Tensor]]:
        """Each buffer with its name."""
        return [(name, one) for name, one in vars(self).items() if isinstance(one, torch.Tensor)]

    def _row(self, mask: ExpertMask, in_use: dict[ExpertMask, None]) -> int:
        if mask in self._rows:
            self._rows.move_to_end(mask)
            return self._rows[mask]
        if not self._free:
            oldest = next(one for one in self._rows if one not in in_use)
            self._free.append(self._rows.pop(oldest))
        row = self._rows[mask] = self._free.pop()
        self._write(row, mask)
        return row

    def _write(self, row: int, mask: ExpertMask) -> None:
        layers, _, experts = self.shift.shape
        shift, on, zero = torch.zeros(layers, experts), *torch.zeros(2, layers, experts, dtype=torch.bool)
        for layer, expert in mask.off:
            if mask.mode == "remove":
                shift[layer, expert] = float("-inf")
            else:
                zero[layer, expert] = True
        for layer, expert in mask.on:
            on[layer, expert] = True
        for layer, expert, value in mask.bias:
            shift[layer, expert] = value
        self.shift[:, row].copy_(shift)
        self.on[:, row].copy_(on)
        self.zero[:, row].copy_(zero)
        self.rescale[row] = mask.mode == "zero_renorm"


def _rows_of(span: Span, row: int) -> list[int]:
    assert span.mask is None or row
    prefill = min(max(span.prompt - span.first, 0), span.tokens)
    phase = "all" if span.mask is None else span.mask.phase
    before, after = row if phase != "decode" else 0, row if phase != "prefill" else 0
    return [before] * prefill + [after] * (span.tokens - prefill)
