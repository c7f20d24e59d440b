"""A policy of the graph as a target: what it would do at a recorded view."""

from __future__ import annotations

from collections.abc import Mapping

from router_graph.errors import RouterError
from router_graph.ledger import Ledger
from router_graph.policies.policy import Means, Policy
from router_graph.policies.scored import ScoredPolicy
from router_graph.pool import portal
from router_graph.protocols.protocol import Protocol
from router_graph.view import View
from router_training.errors import ConfigError
from router_training.ope.action_keys import key_of
from router_training.ope.bandit import CLOSE
from router_training.ope.from_runs import Target

FAILS = "no decision"
"""What a policy does that fails: the graph then answers with what it has."""


def target_of(policy: Policy, protocol: Protocol, *, ask: bool = False) -> Target:
    """The policy's probabilities of each option; of one that does not draw, 1 for what it does in the graph.

    What it does is named as in the log: several sources at once are one action, a reply that cannot be read is
    "malformed", a source that is masked is refused, and a policy that fails makes no decision. Where the log never did
    that, evaluation says "cannot tell".

    With `ask`, a policy asks its model at each view that is evaluated, without a budget: for a local one that scores
    its options. One that thinks first gives its probabilities after one thought, which is right on average. Raises
    `ConfigError` for a policy that would ask without it, or that does not know its probabilities.
    """
    if not policy.decides_alone and not ask:
        raise ConfigError(
            f"The policy {policy.name!r} asks a model at every step; give ask=True if the model is local and free."
        )

    async def wanted(view: View) -> Mapping[str, float] | None:
        means = Means(ledger=Ledger())
        if isinstance(policy, ScoredPolicy) and (chances := await policy.chances(view, protocol, means)) is not None:
            return chances
        act = await policy.act(view, protocol, means)
        does = {key_of(protocol.read(act.reply, view).actions, view.masked): 1.0}
        if isinstance(policy, ScoredPolicy):  # its reply was whole before the choice: sampled, or the likeliest
            return does
        if act.propensity is not None and act.propensity >= 1 - CLOSE:
            return does
        return act.probabilities

    def target(view: View) -> Mapping[str, float]:
        try:
            chances = portal.run(wanted(view))
        except (RouterError, ValueError):  # a prompt that is too long is a ValueError
            return {FAILS: 1.0}
        if chances is None:
            raise ConfigError(
                f"The policy {policy.name!r} does not tell how likely its options are; evaluate it by running it."
            )
        return chances

    return target
