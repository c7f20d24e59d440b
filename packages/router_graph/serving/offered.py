"""The models of the endpoint: `router`, which decides as the settings say, and `router/POLICY`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cached_property

from router_graph.errors import RouterError, UnknownModelError
from router_graph.policies.named import policy_names
from router_graph.resources import Resources

ROUTER = "router"
_OF_A_MODEL = ("direct", "fanout", "llm")
"""Policies that take a model's name behind a colon."""


class Offered:
    """Which policies a request may name: those that ask what the router has, and what the operator offers besides.

    A policy of a file (`gate:FILE`, `local:FOLDER`) and a model that is not in the pool are the operator's to offer:
    a client must not open files, nor spend on whatever LiteLLM knows.
    """

    def __init__(self, resources: Resources, more: Sequence[str] = ()) -> None:
        """Raises `RouterError` for a policy of `more` that there is not."""
        self._resources, self._more = resources, tuple(more)
        for name in self._more:
            resources.policy(name)

    @cached_property
    def policies(self) -> list[str]:
        """Those that are listed."""
        named = policy_names(self._resources.pool, list(self._resources.knowledge))
        return [*self._more, *(name for name in named if name not in self._more and self._is_there(name))]

    @property
    def models(self) -> list[str]:
        """As /v1/models lists them."""
        return [ROUTER, *(f"{ROUTER}/{name}" for name in self.policies)]

    @property
    def options(self) -> list[str]:
        """The keys of what can be asked, and `answer`."""
        return [option["key"] for option in self._resources.menu()]

    def policy_of(self, model: str) -> str | None:
        """The policy that a model's name asks for; None for the router's own. Raises `UnknownModelError`."""
        base, slash, policy = model.partition("/")
        if base != ROUTER or bool(slash) != bool(policy) or (policy and not self.allows(policy)):
            raise UnknownModelError(f"There is no model {model[:100]!r}; {_near(model, self.models)}")
        return policy or None

    def check(self, policy: str) -> None:
        """Raise `UnknownModelError` for a policy that a request may not name."""
        if not self.allows(policy):
            raise UnknownModelError(f"There is no policy {policy[:100]!r} here; {_near(policy, self.policies)}")

    def allows(self, policy: str) -> bool:
        """Whether a request may name it."""
        kind, _, model = policy.partition(":")
        pool = self._resources.pool
        of_a_model = kind in _OF_A_MODEL and pool is not None and model in pool.cards
        return policy == self._resources.defaults["policy"] or of_a_model or policy in self.policies

    def _is_there(self, name: str) -> bool:
        try:
            self._resources.policy(name)
        except RouterError:
            return False
        return True


def _near(given: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(given[:100], known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known[:20])}."
