"""Rows to a batch of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from router_training.trainers.config import Normaliser


@dataclass(frozen=True)
class Collator:
    """B rows, padded on the right to T tokens; K are the positions at which any row is trained, so that the head of
    the model need not look at the others.

    | name | shape | what |
    |---|---|---|
    | input_ids, attention_mask | [B, T] | |
    | kept | [K] | places of the trained tokens, from 1 |
    | mask | [B, K] | 1 where the token is trained |
    | behaviour | [B, K] | its log-prob under the policy that logged it; 0 where it is not known |
    | weight | [B] | |
    | row | [B] | the number of the row |
    | labels | [B, T] | transformers counts what is not -100 over an update and all processes: the trained tokens, or one for each row where the loss is a mean over rows |
    """  # noqa: E501  # a table

    pad: int
    normalise: Normaliser = "dapo"

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """The batch."""
        width = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), self.pad)
        seen, mask = torch.zeros_like(ids), torch.zeros_like(ids)
        for at, row in enumerate(rows):
            length = len(row["input_ids"])
            ids[at, :length] = torch.tensor(row["input_ids"])
            seen[at, :length] = 1
            mask[at, :length] = torch.tensor(row["loss_mask"])
        mask[:, 0] = 0  # nothing comes before it that could have said it
        kept = mask.any(0).nonzero()[:, 0]
        if not len(kept):
            kept = torch.ones(1, dtype=torch.long)
        return {
            "input_ids": ids,
            "attention_mask": seen,
            "kept": kept,
            "mask": mask[:, kept].float(),
            "behaviour": spread(mask[:, kept], [torch.tensor(row["logprobs"]) for row in rows]),
            "weight": torch.tensor([row["weight"] for row in rows], dtype=torch.float32),
            "row": torch.tensor([row["row"] for row in rows]),
            "labels": self._counted(ids, mask),
        }

    def _counted(self, ids: Tensor, mask: Tensor) -> Tensor:
        if self.normalise in ("dapo", "bnpo"):
            return ids.masked_fill(mask == 0, -100)
        counted = torch.full_like(ids, -100)
        counted[:, 1] = 0
        return counted


def spread(mask: Tensor, values: Sequence[Tensor]) -> Tensor:
    """[B, K]: each row's values at the places where its mask is 1, in order; 0 elsewhere, and where a row has none."""
    out = torch.zeros(mask.shape, device=mask.device)
    for at, each in enumerate(values):
        if len(each):
            out[at, mask[at] == 1] = each.to(out)
    return out
