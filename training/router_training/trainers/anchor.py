"""How far a policy has gone from the one that logged, and its log-probs, which the next epoch is held to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from router_training.trainers.losses import token_logprobs


@dataclass(frozen=True, slots=True)
class Drift:
    """Of a policy from the one that logged, over the log's samples."""

    ess: float
    """Effective share of the samples, (sum w)^2 / (n sum w^2) for w = pi/pi_log of whole replies: 1 where nothing has
    moved (Kong 1992)."""
    kl: float
    """KL(log's policy || policy) in nats per token, estimated as the mean of log pi_log - log pi."""


def drift(now: Sequence[Tensor], behaviour: Sequence[Tensor]) -> Drift:
    """From log-probs of the trained tokens of each row, now and when they were logged."""
    moved = [(new.double() - old.double()) for new, old in zip(now, behaviour, strict=True)]
    whole = torch.stack([one.sum() for one in moved])
    weights = torch.exp(whole - whole.max())
    ess = float(weights.sum() ** 2 / (len(weights) * (weights**2).sum()))
    tokens = sum(len(one) for one in moved)
    return Drift(ess, -float(whole.sum()) / max(tokens, 1))


@torch.no_grad()
def logprobs_of_rows(
    model: Any,
    rows: Sequence[Mapping[str, Any]],
    collate: Callable[[Sequence[Mapping[str, Any]]], dict[str, Tensor]],
    *,
    batch_size: int,
    device: torch.device | str = "cpu",
    temperature: float = 1.0,
    rank: int = 0,
    processes: int = 1,
) -> list[tuple[int, Tensor]]:
    """(number of the row, log-probs of its trained tokens) of this process's share of the rows, on the CPU.

    Every process does as many batches, as sharded models need it. The model is evaluated, and left as it was.
    """
    was_training = model.training
    model.eval()
    found: dict[int, Tensor] = {}
    rounds = math.ceil(len(rows) / (batch_size * processes))
    for each in range(rounds):
        start = (each * processes + rank) * batch_size
        # A share that is used up does the last rows once more.
        part = [rows[min(at, len(rows) - 1)] for at in range(start, start + batch_size)]
        batch = {
            name: one.to(device) for name, one in collate(list({row["row"]: row for row in part}.values())).items()
        }
        logprobs = token_logprobs(model, batch, temperature=temperature).cpu()
        mask = batch["mask"].cpu() == 1
        for at, row in enumerate(batch["row"].tolist()):
            found[row] = logprobs[at, mask[at]]
    model.train(was_training)
    return sorted(found.items())
