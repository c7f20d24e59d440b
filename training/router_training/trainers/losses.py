"""The loss of each trained token, and how they become one number. All tensors are [rows, tokens] unless it says so."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from router_training.trainers.config import Normaliser


def token_logprobs(model: Any, batch: dict[str, Tensor], *, temperature: float = 1.0) -> Tensor:
    """Log-probs, in nats, of the tokens at the places `kept` of a `Collator`'s batch: [B, K], float32.

    The head is applied to those places alone where the model can do that.
    """
    before = batch["kept"] - 1
    narrow = {"logits_to_keep": before} if _can_narrow(model) else {}
    logits = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False, **narrow
    ).logits
    if not narrow:
        logits = logits[:, before]
    logits = logits.float()
    if temperature not in (0.0, 1.0):
        logits = logits / temperature
    said = batch["input_ids"][:, batch["kept"]]
    chosen = logits.gather(-1, said[..., None])[..., 0]
    return torch.where(batch["mask"] == 1, chosen - logits.logsumexp(-1), 0.0)


def weighted(logprobs: Tensor, weight: Tensor) -> Tensor:
    """-w log pi, for a weight of each row [B]: filtered cloning (w = 1) and advantage-weighted regression."""
    return -weight[:, None] * logprobs


def clipped(
    logprobs: Tensor,
    anchor: Tensor,
    behaviour: Tensor,
    advantage: Tensor,
    *,
    low: float = 0.2,
    high: float = 0.2,
    most_weight: float = 2.0,
) -> Tensor:
    """PPO's clip around the anchor, weighed by min(pi_anchor / pi_behaviour, `most_weight`): arXiv 2505.24298, eq. 5.

    With the behaviour as its own anchor it is GRPO's loss (arXiv 2402.03300, eq. 3 without its KL).
    """
    ratio = torch.exp(logprobs - anchor)
    gain = advantage[:, None]
    bound = torch.min(ratio * gain, ratio.clamp(1 - low, 1 + high) * gain)
    return -torch.exp(anchor - behaviour).clamp(max=most_weight) * bound


def summed(losses: Tensor, mask: Tensor, normalise: Normaliser, *, count: Tensor, pieces: int, longest: int) -> Tensor:
    """One number, as TRL's GRPOTrainer has it for its loss_type of the same name; the pieces of an update add up.

    `count` is what the update has on all processes: trained tokens for "dapo", rows for "grpo" and "dr_grpo".
    `pieces` is how many batches the update is made of.
    """
    losses = torch.where(mask == 1, losses, 0.0)
    count = torch.as_tensor(count, device=losses.device).clamp(min=1)
    match normalise:
        case "dapo":
            return losses.sum() / count
        case "bnpo":
            return losses.sum() / mask.sum().clamp(min=1) / pieces
        case "grpo":
            return (losses.sum(-1) / mask.sum(-1).clamp(min=1)).sum() / count
        case "dr_grpo":
            return losses.sum() / (count * longest)


def _can_narrow(model: Any) -> bool:
    """Whether the model takes the places at which logits are wanted."""
    inner = model.module if hasattr(model, "module") else model
    inner = inner.get_base_model() if hasattr(inner, "get_base_model") else inner
    return "logits_to_keep" in inspect.signature(type(inner).forward).parameters
