"""The questions of recorded runs asked again in the world, at the prices that they had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langgraph.graph.state import CompiledStateGraph

from router_graph.policies.policy import Policy
from router_graph.trajectories.records import RunRecord
from router_training.world.world import MODELS, Prices, World


def playing(world: World) -> Callable[[Policy], Callable[[RunRecord], CompiledStateGraph[Any, Any, Any, Any]]]:
    """For a policy in training: the graph of each run's prices."""

    def of(policy: Policy) -> Callable[[RunRecord], CompiledStateGraph[Any, Any, Any, Any]]:
        graphs: dict[Prices, CompiledStateGraph[Any, Any, Any, Any]] = {}

        def graph(run: RunRecord) -> CompiledStateGraph[Any, Any, Any, Any]:
            usd = {option["key"]: option["usd"] for option in run.menu}
            one, two = (usd[f"llm:{name}"] for name in MODELS)
            if (one, two) not in graphs:
                graphs[one, two] = world.graph(policy, (one, two))
            return graphs[one, two]

        return graph

    return of
