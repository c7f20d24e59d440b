"""Rows of tokens as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def left_padded(
    rows: Sequence[Sequence[int]], device: torch.device | str = "cpu", *, pad_id: int = 0
) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, both [rows, tokens], padded so that the last column is every row's last token."""
    longest = max(map(len, rows))
    return _padded(rows, longest, [longest - len(row) for row in rows], device, pad_id)


def right_padded(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Ids and attention mask, both [rows, tokens], padded so that the first column is every row's first token."""
    return _padded(rows, max(map(len, rows)), [0] * len(rows), device, 0)


def _padded(
    rows: Sequence[Sequence[int]], longest: int, starts: Sequence[int], device: torch.device | str, pad_id: int
) -> tuple[Tensor, Tensor]:
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    attention = torch.zeros_like(ids)
    for position, (row, start) in enumerate(zip(rows, starts, strict=True)):
        ids[position, start : start + len(row)] = torch.tensor(row)
        attention[position, start : start + len(row)] = 1
    return ids.to(device), attention.to(device)
