"""Where a model keeps its routers, and what each of them selected.

transformers says itself which modules are routers: `_can_record_outputs["router_logits"]` of every family names their
class. Nothing here knows a family's formula; the few that keep their top-k elsewhere are listed as adapters.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mote_backend.errors import UnsupportedModelError
from mote_backend.fingerprint import Fingerprint
from mote_backend.unsupported import UNMASKABLE_MODULES, unsupported_reason


@dataclass(frozen=True)
class Site:
    """One router of a model."""

    layer: int
    """Position among the model's routers: the layer of an `ExpertMask`."""
    name: str
    """Path of `module` in the model."""
    kind: str
    """"mlp", or "attention" where a family routes attention heads too (JetMoe)."""
    experts: int
    """What a token can be sent to, null experts among them (LongCat's identity experts, Zaya's skip)."""
    logits: int
    """Width of the router's logits; more than `experts` where shared experts are scored along (Inkling)."""
    top_k: int
    module: nn.Module
    """Whose forward computes the logits and selects."""


Watcher = Callable[[Site, Tensor, Tensor], None]
"""Called with a site, indices [tokens, top_k] and gate weights [tokens, top_k] of one forward."""


def find_sites(model: nn.Module) -> tuple[Site, ...]:
    """The model's routers in the order of its modules; UnsupportedModelError says why there are none to mask."""
    if reason := unsupported_reason(model):
        raise UnsupportedModelError(reason)
    classes = _router_classes(model)
    modules = dict(model.named_modules())
    sites: list[Site] = []
    for name, module in modules.items():
        if type(module) in classes:
            sites.append(_site(len(sites), name, module, modules))
    if not sites:
        raise UnsupportedModelError(
            f"{type(model).__name__} has no router: it is a dense model, whose experts cannot be switched; "
            "`polyroute mote families` lists what can."
        )
    return tuple(sites)


def unmaskable(model: nn.Module) -> list[tuple[str, str]]:
    """(path, reason) of routed layers that no mask reaches, in a model whose other layers can be masked."""
    return [
        (name, UNMASKABLE_MODULES[type(module).__name__])
        for name, module in model.named_modules()
        if type(module).__name__ in UNMASKABLE_MODULES
    ]


def fingerprint(model: nn.Module, sites: tuple[Site, ...]) -> Fingerprint:
    """The model's shape, with a digest of its routers' weights where these are in memory."""
    return Fingerprint(
        model_type=model_type(model),
        experts=tuple(site.experts for site in sites),
        top_k=tuple(site.top_k for site in sites),
        weights=_digest(sites),
    )


def model_type(model: nn.Module) -> str:
    """`config.model_type`, or the class's name where a model has no config."""
    return str(getattr(getattr(model, "config", None), "model_type", None) or type(model).__name__)


def watch(site: Site, seen: Watcher) -> RemovableHandle:
    """Call `seen` with what the router really selected, at every forward until the handle is removed.

    Read from what goes to the experts, biases, groups and masks included, and never computed again from the logits.
    """
    if type(site.module).__name__ == "DbrxFFN":  # its router gives logits, and the block selects

        def of_experts(_: nn.Module, args: tuple[Any, ...]) -> None:
            seen(site, args[1].reshape(-1, site.top_k), args[2].reshape(-1, site.top_k))

        return site.module.get_submodule("experts").register_forward_pre_hook(of_experts)

    def of_router(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        seen(site, *selection(site, output))

    return site.module.register_forward_hook(of_router)


def selection(site: Site, output: Any) -> tuple[Tensor, Tensor]:
    """Indices and gate weights [tokens, top_k] from a router's output; UnsupportedModelError if it tells neither."""
    match type(site.module).__name__:
        case "Llama4Router":  # (a score for every expert, 0 where not selected; logits)
            weights, indices = output[0].topk(site.top_k, dim=-1)
            return indices, weights
        case "JetMoeTopKGating":  # sorted for dispatch; its logits have no bias, so that their top-k is the selection
            values, indices = output[4].topk(site.top_k, dim=-1)
            return indices, values.softmax(dim=-1)
    place = places(output)
    if place is None:
        raise UnsupportedModelError(
            f"The router {site.name} ({type(site.module).__name__}) does not say which experts it selected."
        )
    at, weighted = place
    indices, weights = output[at].reshape(-1, site.top_k), output[weighted].reshape(-1, site.top_k)
    if type(site.module).__name__ == "ZayaRouter":  # "skip" leaves as expert 0 with weight 0
        indices = indices.masked_fill(weights == 0, site.experts - 1)
    return indices, weights


def places(output: Any) -> tuple[int, int] | None:
    """Positions of the selected indices and of their weights in a router's output, if it has both."""
    if not isinstance(output, tuple):
        return None
    for at, one in enumerate(output):
        if not isinstance(one, Tensor) or one.dtype not in (torch.int64, torch.int32):
            continue
        for weighted, other in enumerate(output):
            if isinstance(other, Tensor) and other.is_floating_point() and _rows(other) == _rows(one):
                return at, weighted
    return None


def _rows(tensor: Tensor) -> tuple[int, int]:
    return tensor.numel() // max(1, tensor.shape[-1]), tensor.shape[-1]


def _router_classes(model: nn.Module) -> set[type]:
    classes: set[type] = set()
    for module in model.modules():
        recorders = (getattr(type(module), "_can_record_outputs", None) or {}).get("router_logits", ())
        for recorder in recorders if isinstance(recorders, (list, tuple)) else [recorders]:
            named = getattr(recorder, "target_class", recorder)
            if isinstance(named, type):
                classes.add(named)
    return {_within_block(one) for one in classes if one.__name__ not in _NOT_ROUTERS}


_NOT_ROUTERS = {"JetMoeAttention"}
"""Named by a recorder because they hand the logits of the router within them on."""


def _within_block(named: type) -> type:
    """The router's class, where a recorder names the block that holds it (Ernie 4.5 VL)."""
    router = named.__name__.replace("MoeBlock", "MoeTopKRouter")
    found = getattr(sys.modules[named.__module__], router, named)
    return found if isinstance(found, type) else named


def _site(layer: int, name: str, module: nn.Module, modules: dict[str, nn.Module]) -> Site:
    parent_name = name.rpartition(".")[0]
    parent = modules[parent_name]
    experts = _experts(module)
    logits = _logits(module, experts)
    if isinstance(classes := getattr(module, "num_router_classes", None), int):
        experts = classes
    kind = "attention" if type(parent).__name__ == "JetMoeMoA" else "mlp"
    if type(module).__name__ == "DbrxRouter":
        return Site(layer, parent_name, kind, experts, logits, int(parent.top_k), parent)  # type: ignore[arg-type]
    return Site(layer, name, kind, experts, logits, _top_k(name, module, parent), module)


def _experts(module: nn.Module) -> int:
    for attribute in ("n_routed_experts", "num_experts"):
        if isinstance(value := getattr(module, attribute, None), int):
            return value
    for linear in _linears(module):
        return linear.out_features
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor) and weight.dim() == 2:
        return weight.shape[0]
    raise UnsupportedModelError(f"The router {type(module).__name__} does not say how many experts it has.")


def _logits(module: nn.Module, experts: int) -> int:
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor) and weight.dim() == 2:
        return weight.shape[0]
    classes = getattr(module, "num_router_classes", experts)
    return classes if isinstance(classes, int) else experts


def _top_k(name: str, module: nn.Module, parent: nn.Module) -> int:
    for owner in (module, parent, getattr(module, "config", None), getattr(parent, "config", None)):
        for attribute in ("top_k", "num_experts_per_tok", "top_k_experts", "moe_k", "moe_topk"):
            if isinstance(value := getattr(owner, attribute, None), int):
                return value
    raise UnsupportedModelError(
        f"The router {name} ({type(module).__name__}) does not say how many experts a token gets."
    )


def _linears(module: nn.Module) -> Iterator[nn.Linear]:
    for name in ("layer", "proj", "gate", "wg", "classifier"):
        if isinstance(linear := getattr(module, name, None), nn.Linear):
            yield linear


def _digest(sites: tuple[Site, ...]) -> str | None:
    digest = hashlib.sha256()
    for site in sites:
        for name, weight in site.module.named_parameters():
            if "expert" in name.split(".")[0]:  # Dbrx's module holds its experts too
                continue
            if weight.device.type == "meta":
                return None
            # The sum of each row tells checkpoints apart, and is the same whatever the device.
            rows = weight.detach().to(torch.bfloat16).reshape(weight.shape[0], -1)[:, :64].cpu().contiguous()
            digest.update(rows.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:12]
