"""A policy of the graph as a target: what it would do at a recorded view."""

from __future__ import annotations

from collections.abc import Mapping

from router_graph.actions import Answer, RouteToKB, RouteToLLM
from router_graph.ledger import Ledger
from router_graph.policies.policy import Means, Policy
from router_graph.pool import portal
from router_graph.protocols.protocol import Protocol
from router_graph.view import View
from router_training.errors import ConfigError
from router_training.ope.bandit import CLOSE
from router_training.ope.from_runs import Target


def target_of(policy: Policy, protocol: Protocol, *, ask: bool = False) -> Target:
    """The policy's probabilities of each option; of one that does not draw, 1 for what it does.

    With `ask`, a policy asks its model at each view that is evaluated, without a budget: for a local one that scores
    its options. One that thinks first gives its probabilities after one thought, which is right on average. Raises
    `ConfigError` for a policy that would ask without it, or that does not know its probabilities.
    """
    if not policy.decides_alone and not ask:
        raise ConfigError(
            f"The policy {policy.name!r} asks a model at every step; give ask=True if the model is local and free."
        )

    def target(view: View) -> Mapping[str, float]:
        act = portal.run(policy.act(view, protocol, Means(ledger=Ledger())))
        draws = act.propensity is None or act.propensity < 1 - CLOSE
        if draws and act.probabilities is not None:
            return act.probabilities
        actions = protocol.read(act.reply, view).actions
        routes = sorted({one.target for one in actions if isinstance(one, RouteToKB | RouteToLLM)})
        if draws or not (routes or any(isinstance(one, Answer) for one in actions)):
            raise ConfigError(
                f"The policy {policy.name!r} does not tell how likely its options are; evaluate it by running it."
            )
        return {" + ".join(routes) or Answer.target: 1.0}

    return target
