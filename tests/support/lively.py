"""A tiny routed model whose experts matter: switching one moves the logits."""

import torch

from support.tiny_routed import tiny_model


def lively_model(seed: int = 0):
    """`tiny_model`, with large weights in its experts and its head."""
    model = tiny_model(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".experts." in name or "lm_head" in name:
                weight.normal_(0, 0.6)
    return model
