"""A model whose group-limited routers are replaced by plain Python, with some experts gone."""

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from support.pruning import GROUP_RULES, Expert, grouped_route, routers
from support.tiny_family import TinyFamily


def with_grouped_oracle(family: TinyFamily, model: nn.Module, off: Collection[Expert]) -> Any:
    """A copy of the model that routes every token by `grouped_route`."""
    model = copy.deepcopy(model)
    rule = GROUP_RULES[family.name]
    for layer, (_, router) in enumerate(routers(model)):
        drop = {expert for at, expert in off if at == layer}

        def slow(hidden: Tensor, *_: Any, router: Any = router, drop: set[int] = drop) -> tuple[Tensor, Tensor, Tensor]:
            flat = hidden.reshape(-1, hidden.shape[-1])
            scores = nn.functional.linear(flat.float(), router.weight.float())
            routed = [grouped_route(router, rule, one.double().tolist(), drop) for one in scores]
            indices = torch.tensor([list(one) for one in routed])
            return scores, torch.tensor([list(one.values()) for one in routed]), indices

        router.forward = slow
    return model
