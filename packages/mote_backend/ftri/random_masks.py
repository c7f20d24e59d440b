"""Random masks as a control: as many experts, in the same layers, switched the same way, but not those ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import comb, prod
from typing import TYPE_CHECKING

import numpy as np

from mote_backend.fingerprint import Fingerprint
from mote_backend.mask import Expert, ExpertMask

if TYPE_CHECKING:
    from mote_backend.ftri.expert_table import ExpertTable

_ALIKE = 6
"""With matched use, an expert is replaced by one of so many whose use is nearest, or of more where so many do not
make as many different masks as are asked for."""


def switched(mask: ExpertMask) -> list[Expert]:
    """Every expert that the mask touches, in order."""
    return sorted({*mask.off, *mask.on, *((layer, expert) for layer, expert, _ in mask.bias)})


def random_masks(
    mask: ExpertMask,
    model: Fingerprint,
    draws: int,
    *,
    seed: int = 0,
    usage: Mapping[Expert, float] | None = None,
) -> list[ExpertMask]:
    """Different masks in which each expert is replaced by another of its layer that the mask leaves alone.

    With `usage` (see `usage_of`), the replacements are used about as much: switching a busy expert off hurts whatever
    it does, so a control of idle ones proves little. There are fewer than `draws` if the layers have no more to choose
    from, and none if a layer has too few experts left.
    """
    return [replaced(mask, one) for one in replacements(switched(mask), model, draws, seed=seed, usage=usage)]


def usage_of(table: ExpertTable) -> dict[Expert, float]:
    """How often the target's prompts use each expert."""
    return {(row.layer, row.expert): row.rate_a for row in table.top()}


def replacements(
    experts: Sequence[Expert],
    model: Fingerprint,
    draws: int,
    *,
    seed: int = 0,
    usage: Mapping[Expert, float] | None = None,
) -> list[dict[Expert, Expert]]:
    """What stands for each expert, for each draw; the sets of stand-ins differ from draw to draw."""
    random = np.random.default_rng(seed)
    layers = {layer: [one for one in experts if one[0] == layer] for layer, _ in experts}
    free = {
        layer: [(layer, number) for number in range(model.experts[layer]) if (layer, number) not in its]
        for layer, its in layers.items()
    }

    def ways(most: int) -> int:
        """How many sets there are of stand-ins from so many experts of each layer."""
        return prod(comb(min(most, len(free[layer])), len(its)) for layer, its in layers.items())

    widest = max(model.experts)
    wanted = min(draws, ways(widest))
    near = next(one for one in range(_ALIKE, max(widest, _ALIKE) + 1) if one >= widest or ways(one) >= wanted)
    found: dict[frozenset[Expert], dict[Expert, Expert]] = {}
    tries = 0
    while len(found) < wanted and tries < 50 * draws:
        tries += 1
        drawn: dict[Expert, Expert] = {}
        for layer, its in layers.items():
            left = list(free[layer])
            for position in random.permutation(len(its)):
                expert = its[position]
                choice = left if usage is None else _alike(expert, left, usage, near)
                stand_in = choice[int(random.integers(len(choice)))]
                drawn[expert] = stand_in
                left.remove(stand_in)
        found.setdefault(frozenset(drawn.values()), drawn)
    return list(found.values())


def replaced(mask: ExpertMask, by: Mapping[Expert, Expert]) -> ExpertMask:
    """The mask with other experts in the place of those that `by` names."""
    return replace(
        mask,
        off=frozenset(by[one] for one in mask.off),
        on=frozenset(by[one] for one in mask.on),
        bias=frozenset((*by[layer, expert], value) for layer, expert, value in mask.bias),
        name=None,
    )


def _alike(expert: Expert, left: list[Expert], usage: Mapping[Expert, float], near: int) -> list[Expert]:
    own = usage.get(expert, 0.0)
    return sorted(left, key=lambda one: (abs(usage.get(one, 0.0) - own), one))[:near]
