"""What "off" means, built apart from the code under test: experts deleted, group-limited routers in plain Python."""

import copy
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Expert = tuple[int, int]

_ROUTER = re.compile(r"(Router|Gating|V1Gate)$")
_COUNTS = (
    *("num_experts", "n_routed_experts", "num_routed_experts", "num_local_experts", "moe_num_experts"),
    *("total_experts", "num_router_classes", "out_features"),
)


def routers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """(path, module) of each module whose class is called a router, in order; hash routers select nothing."""
    return [
        (name, module)
        for name, module in model.named_modules()
        if _ROUTER.search(type(module).__name__) and "Hash" not in type(module).__name__
    ]


def prune(model: nn.Module, off: Collection[Expert]) -> Any:
    """A copy of the model without these experts: their rows are cut out of every tensor, and the counts are lowered."""
    model = copy.deepcopy(model)
    modules = dict(model.named_modules())
    for layer, (name, router) in enumerate(routers(model)):
        drop = {expert for at, expert in off if at == layer}
        if not drop:
            continue
        block = modules[name.rpartition(".")[0]]
        sizes = _sizes(router)
        for path, module in block.named_modules():
            if path and not re.match(r"(gate|router|experts|input_linear|output_linear)\b(?!_)", path):
                continue
            _cut(module, drop, sizes)
        around = modules[name.rpartition(".")[0].rpartition(".")[0]]
        if type(around).__name__.endswith("MoeBlock"):  # Ernie 4.5 VL: two blocks in one, for text and for images
            around.num_experts = len(_kept(max(sizes), drop))  # type: ignore[assignment]
    return model


def _sizes(router: nn.Module) -> set[int]:
    """Lengths that stand for "one for each expert": of the experts, and of the logits where these have more."""
    sizes = {getattr(router, name) for name in _COUNTS if isinstance(getattr(router, name, None), int)}
    for name, tensor in router.named_parameters():
        if name.endswith(("weight",)) and tensor.dim() == 2 and tensor.shape[0] <= 16 and "norm" not in name:
            sizes.add(tensor.shape[0])
    return sizes


def _cut(module: nn.Module, drop: set[int], sizes: set[int]) -> None:
    for tensors in (module._parameters, module._buffers):
        for name, tensor in list(tensors.items()):
            if tensor is None:
                continue
            data = _without(module, tensor.data, drop, sizes)
            if data is not None:
                tensors[name] = nn.Parameter(data, requires_grad=False) if tensors is module._parameters else data
    for name in _COUNTS:
        if isinstance(value := getattr(module, name, None), int) and value in sizes:
            setattr(module, name, len(_kept(value, drop)))


def _without(module: nn.Module, data: Tensor, drop: set[int], sizes: set[int]) -> Tensor | None:
    if type(module).__name__ == "DbrxExpertGLU":
        experts = max(sizes)
        return data.view(experts, -1, data.shape[-1])[_kept(experts, drop)].flatten(0, 1)
    if data.dim() >= 1 and data.shape[0] in sizes:
        return data[_kept(data.shape[0], drop)]
    if data.dim() == 2 and data.shape[0] == 1 and data.shape[1] in sizes:
        return data[:, _kept(data.shape[1], drop)]
    return None


def _kept(size: int, drop: set[int]) -> list[int]:
    return [one for one in range(size) if one not in drop]


@dataclass(frozen=True)
class GroupRule:
    """How a family's group-limited router scores and weighs."""

    softmax: bool
    """Scores are a softmax of the logits, else a sigmoid."""
    best: int
    """A group's score is the sum of its best so many."""
    normed: bool
    """The selected scores are divided by their sum."""
    zeroed: bool = False
    """Scores of groups that lost become weights of 0 (seen only by experts that are forced on)."""


GROUP_RULES: Mapping[str, GroupRule] = {
    "axk1": GroupRule(softmax=False, best=2, normed=True),
    "bailing_hybrid": GroupRule(softmax=False, best=2, normed=True),
    "beam": GroupRule(softmax=False, best=2, normed=True),
    "deepseek_v2_group": GroupRule(softmax=True, best=1, normed=False, zeroed=True),
    "deepseek_v3": GroupRule(softmax=False, best=2, normed=True),
    "mistral4": GroupRule(softmax=True, best=2, normed=True),
}


def grouped_route(
    router: Any, rule: GroupRule, logits: list[float], off: Collection[int], on: Collection[int] = (), lift: float = 0.0
) -> dict[int, float]:
    """Expert → gate weight for one token of a group-limited router, in plain Python.

    `off` are gone: their groups are scored by what is left. `on` are selected whatever their group; with a `lift` their
    logit is that much above the highest other one.
    """
    experts, groups, kept_groups = len(logits), router.num_group, router.topk_group
    group = {expert: expert * groups // experts for expert in range(experts)}
    alive = [expert for expert in range(experts) if expert not in off]
    raised = list(logits)
    if lift:
        for expert in on:
            raised[expert] = max(logits[one] for one in alive) + lift
    if rule.softmax:
        top = max(raised[one] for one in alive)
        parts = {one: math.exp(raised[one] - top) for one in alive}
        score = {one: part / sum(parts.values()) for one, part in parts.items()}
    else:
        score = {one: 1 / (1 + math.exp(-raised[one])) for one in alive}
    correction = getattr(router, "e_score_correction_bias", None)
    choice = {one: score[one] + (0.0 if correction is None else float(correction[one])) for one in alive}

    def of_group(at: int) -> float:
        best = sorted((choice[one] for one in alive if group[one] == at), reverse=True)[: rule.best]
        return sum(best) if len(best) == rule.best else -math.inf

    winners = sorted(range(groups), key=of_group, reverse=True)[:kept_groups]
    rest = [one for one in alive if one not in on]
    rest.sort(key=lambda one: (group[one] in winners, choice[one]), reverse=True)
    selected = [*on, *rest][: router.top_k]
    weights = {one: 0.0 if rule.zeroed and group[one] not in winners else score[one] for one in selected}
    scale = float(getattr(router, "routed_scaling_factor", 1.0))
    total = sum(weights.values()) + 1e-20 if rule.normed else 1.0
    return {one: weight / total * scale for one, weight in weights.items()}
