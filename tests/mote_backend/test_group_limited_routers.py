"""Routers that pick groups of experts first: every token's selection and weights against plain Python."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from mote_backend.mask import ExpertMask
from mote_backend.routing import LIFT
from mote_backend.steering import Steering
from support.moe_families import BY_NAME
from support.pruning import GROUP_RULES, grouped_route

TOKENS = 150


@pytest.fixture(scope="module", params=sorted(GROUP_RULES))
def attached(request: pytest.FixtureRequest) -> Iterator[tuple[str, Steering, Any]]:
    torch.set_num_threads(1)
    steering = Steering(BY_NAME[request.param].build())
    yield request.param, steering, steering.sites[0].module
    steering.detach()


CASES = {
    "nothing": (lambda per, count, k: set(), lambda per, count, k: set()),
    "two off": (lambda per, count, k: {0, per + 1}, lambda per, count, k: set()),
    "a whole group off": (lambda per, count, k: set(range(per)), lambda per, count, k: set()),
    "a group off but for one": (lambda per, count, k: set(range(per - 1)), lambda per, count, k: set()),
    "two groups off": (lambda per, count, k: set(range(2 * per)), lambda per, count, k: set()),
    "one on": (lambda per, count, k: set(), lambda per, count, k: {count - 1}),
    "one on, two off": (lambda per, count, k: {1, 2}, lambda per, count, k: {count - 1}),
    "all forced": (lambda per, count, k: set(), lambda per, count, k: set(range(0, per * k, per))),
    "as many as needed left, each in a group of its own": (
        lambda per, count, k: set(range(count)) - set(range(0, per * k, per)),
        lambda per, count, k: set(),
    ),
    "only as many as needed left": (lambda per, count, k: set(range(count - k)), lambda per, count, k: set()),
}


@pytest.mark.parametrize("force", ["max", "natural"])
@pytest.mark.parametrize("case", CASES)
def test_each_token_gets_what_the_rule_gives(attached: Any, case: str, force: str) -> None:
    name, steering, router = attached
    per, count = router.num_experts // router.num_group, router.num_experts
    off, on = (choose(per, count, router.top_k) for choose in CASES[case])
    hidden = torch.randn(1, TOKENS, 32, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        logits = torch.nn.functional.linear(hidden[0].double(), router.weight.double())
        mask = ExpertMask(
            off=frozenset((0, one) for one in off),
            on=frozenset((0, one) for one in on),
            force=force,  # type: ignore[arg-type]
        )
        with steering.apply(mask):
            _, weights, indices = router(hidden)
    lift = LIFT if force == "max" else 0.0
    for token in range(TOKENS):
        expected = grouped_route(router, GROUP_RULES[name], logits[token].tolist(), off, on, lift)
        made = dict(zip(indices[token].tolist(), weights[token].tolist(), strict=True))
        scale = sum(made.values()) / sum(expected.values()) if name in SCALED_OUTSIDE else 1.0
        assert {one: weight * scale for one, weight in expected.items()} == pytest.approx(made, abs=2e-6)


SCALED_OUTSIDE = {"beam"}
"""Whose block scales the weights, after the router."""
