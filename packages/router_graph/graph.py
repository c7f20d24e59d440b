"""The graph: think, ask a knowledge base or a model, think on, answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from langgraph.channels import EphemeralValue
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Checkpointer

from router_graph.accounts import Accounts
from router_graph.context import RouterContext
from router_graph.knowledge import Knowledge, Searchable
from router_graph.nodes.begin import begin
from router_graph.nodes.finish import finish
from router_graph.nodes.node import Node
from router_graph.nodes.route_to_kb import route_to_kb
from router_graph.nodes.route_to_llm import route_to_llm
from router_graph.nodes.think import AfterThink, think
from router_graph.policies.policy import Policy
from router_graph.pool.pool import ModelPool
from router_graph.protocols.protocol import Protocol
from router_graph.resources import Resources
from router_graph.rules import Exclusion
from router_graph.state import RouterInput, RouterOutput, RouterState

Graph = StateGraph[RouterState, RouterContext, RouterInput, RouterOutput]
AFTER_THINK = ["think", "route_to_kb", "route_to_llm", "finish"]
"""Where a step goes on."""


class _State(RouterState, total=False):
    """The input of a turn lasts until it has begun: what could not be asked must not be asked in place of the next."""

    question: Annotated[str, EphemeralValue]
    images: Annotated[list[str], EphemeralValue]


def build_router_graph(
    knowledge: Resources | Iterable[Knowledge | Searchable] | Mapping[str, Any] = (),
    *,
    pool: ModelPool | None = None,
    policy: Policy | str | None = None,
    protocol: Protocol | str | None = None,
    policies: Iterable[Policy] = (),
    exclusions: Iterable[Exclusion] = (),
    defaults: RouterContext | None = None,
    accounts: Accounts | None = None,
) -> Graph:
    """The graph, not compiled: the app chooses its checkpointer and store. `Resources` has the arguments.

    Raises `RouterError` for what cannot be used.
    """
    if isinstance(knowledge, Resources):
        resources = knowledge
    else:
        resources = Resources(
            knowledge,
            pool=pool,
            policy=policy,
            protocol=protocol,
            policies=policies,
            exclusions=exclusions,
            defaults=defaults,
            accounts=accounts,
        )
    graph = without_beginning(resources)
    graph.add_node("begin", Node(begin, resources, "begin"))
    graph.add_edge(START, "begin")
    graph.add_edge("begin", "think")
    return graph


def without_beginning(resources: Resources) -> Graph:
    """The graph from its first thought on. What it begins with is yours to add."""
    graph = StateGraph(_State, context_schema=RouterContext, input_schema=RouterInput, output_schema=RouterOutput)
    for core in (think, route_to_kb, route_to_llm, finish):
        graph.add_node(core.__name__, Node(core, resources, core.__name__))
    graph.add_conditional_edges("think", AfterThink(), AFTER_THINK)
    graph.add_edge("route_to_kb", "think")
    graph.add_edge("route_to_llm", "think")
    graph.add_edge("finish", END)
    return graph


def create_router(
    knowledge: Resources | Iterable[Knowledge | Searchable] | Mapping[str, Any] = (),
    *,
    checkpointer: Checkpointer = None,
    store: Any = None,
    name: str = "router",
    **options: Any,
) -> CompiledStateGraph[RouterState, RouterContext, RouterInput, RouterOutput]:
    """The graph, ready to run. `options` are those of `build_router_graph`.

    graph = create_router([handbook, tables], pool=pool, policy="fast")
    graph.invoke({"question": "…"}, context=RouterContext(usd=0.02))["answer"]
    """
    return build_router_graph(knowledge, **options).compile(checkpointer=checkpointer, store=store, name=name)
