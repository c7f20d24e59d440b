"""Listens to, or edits, what a model's experts really receive, whatever the router says."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from support.pruning import Expert, routers

Heard = list[tuple[Tensor, Tensor]]
"""(indices, gate weights), both [tokens, top-k], of each call."""


class ExpertTap:
    """What the experts of each routed layer received while `listening`, by the layer's number."""

    def __init__(self) -> None:
        self.calls: dict[int, Heard] = {}
        self.counts: dict[int, list[Tensor]] = {}
        """Tokens per expert [experts], of each call."""

    def joined(self, layer: int) -> tuple[Tensor, Tensor]:
        """The calls of a layer as one."""
        indices, weights = zip(*self.calls[layer], strict=True)
        return torch.cat(indices), torch.cat(weights)

    def count(self, layer: int) -> Tensor:
        """Tokens that each expert got, over all calls."""
        return torch.stack(self.counts[layer]).sum(0)


@contextmanager
def listening(model: nn.Module) -> Iterator[ExpertTap]:
    """Taps the experts of every routed layer of the model."""
    tap = ExpertTap()
    handles = []

    def on_call(layer: int, width: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        counts = tap.counts.setdefault(layer, [])
        given = [*args, *kwargs.values()]
        match type(module).__name__:
            case "JetMoeParallelExperts":  # (tokens sorted by expert, how many each expert gets)
                counts.append(torch.as_tensor(given[1]))
            case "Llama4TextExperts":  # every token for every expert, scaled by 0 where it was not selected
                counts.append(given[0].view(width, -1, given[0].shape[-1]).ne(0).any(-1).sum(-1))
            case _:
                indices, weights = given[1].flatten(0, -2), given[2].flatten(0, -2)
                if type(module).__name__ == "ZayaExperts":  # "skip" arrives as expert 0 with weight 0
                    indices = indices.masked_fill(weights == 0, width - 1)
                tap.calls.setdefault(layer, []).append((indices.clone(), weights.clone()))
                counts.append(torch.bincount(indices.flatten(), minlength=width))

    for layer, (experts, width) in enumerate(_experts(model)):

        def hook(module: nn.Module, args: Any, kwargs: Any, layer: int = layer, width: int = width) -> None:
            on_call(layer, width, module, args, kwargs)

        handles.append(experts.register_forward_pre_hook(hook, with_kwargs=True))
    try:
        yield tap
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def zeroed(model: nn.Module, off: Collection[Expert], renorm: bool) -> Iterator[None]:
    """The other reading of "off", done at the experts' door: their gate weight becomes 0 after the selection."""
    handles = []

    def closing(drop: list[int]) -> Callable[[nn.Module, Any, Any], Any]:
        def edit(_: nn.Module, args: Any, kwargs: Any) -> Any:
            names = list(kwargs)
            given = [*args, *kwargs.values()]
            indices, weights = given[1], given[2]
            kept = weights.masked_fill(torch.isin(indices, torch.tensor(drop)), 0)
            if renorm:
                left = kept.sum(-1, keepdim=True)
                kept = torch.where(left > 0, kept * weights.sum(-1, keepdim=True) / left, kept)
            given[2] = kept
            return tuple(given[: len(args)]), dict(zip(names, given[len(args) :], strict=True))

        return edit

    for layer, (experts, _) in enumerate(_experts(model)):
        if drop := [expert for at, expert in off if at == layer]:
            handles.append(experts.register_forward_pre_hook(closing(drop), with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _experts(model: nn.Module) -> list[tuple[nn.Module, int]]:
    """(the module that runs the experts, how many a token can be sent to), for each router in order."""
    modules = dict(model.named_modules())
    found = []
    for name, router in routers(model):
        block = name.rpartition(".")[0]
        experts = modules.get(f"{block}.experts") or modules[f"{block}.input_linear"]
        found.append((experts, _width(router, experts)))
    return found


def _width(router: nn.Module, experts: nn.Module) -> int:
    for module, name in ((router, "num_router_classes"), (experts, "total_experts"), (experts, "num_experts")):
        if isinstance(value := getattr(module, name, None), int):
            return value
    raise AttributeError(f"{type(experts).__name__} does not say how many experts it has")
