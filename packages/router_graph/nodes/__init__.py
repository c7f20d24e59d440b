"""The nodes of the graph, each of which can stand alone in a graph of another make.

app.add_node("ask_handbook", make_kb_node(handbook))

What a node writes that the app's state has no key for, LangGraph leaves out.
"""

from __future__ import annotations

from router_graph.knowledge import Knowledge, Searchable
from router_graph.nodes.alone import search_alone, speak_alone
from router_graph.nodes.begin import begin
from router_graph.nodes.finish import finish
from router_graph.nodes.node import Node
from router_graph.nodes.think import AfterThink, think
from router_graph.pool.pool import ModelPool
from router_graph.resources import Resources

__all__ = [
    "make_answer_node",
    "make_begin_node",
    "make_kb_node",
    "make_llm_node",
    "make_think_node",
    "route_after_think",
]

route_after_think = AfterThink()
"""For the conditional edges behind a think node. It sends to nodes that must be called `route_to_kb`, `route_to_llm`,
`think` and `finish`."""


def make_begin_node(resources: Resources) -> Node:
    """Before the think node, where a thread has several turns: it clears what the turn before left."""
    return Node(begin, resources, "begin")


def make_think_node(resources: Resources) -> Node:
    """The policy's step. Reads and writes the keys of `RouterState`; without a begin node, it begins the turn too."""
    return Node(think, resources, "think")


def make_kb_node(knowledge: Resources | Knowledge | Searchable) -> Node:
    """A search. Sent to by a think node, it takes the route; in any other graph, it searches for `question` or the last
    human message, and writes `hits`, `observation`, `steps` and `ledger`.

    With `Resources` of several knowledge bases, all are searched.
    """
    resources = knowledge if isinstance(knowledge, Resources) else Resources([knowledge])
    return Node(search_alone, resources, "route_to_kb")


def make_llm_node(pool: Resources | ModelPool, model: str | None = None) -> Node:
    """A question to a model of the pool. Sent to by a think node, it takes the route; in any other graph, it asks
    `model` (if None, the cheapest) `question` or the last human message, shows it the `hits` of the state, and writes
    `messages`, `observation`, `steps` and `ledger`.

    Raises `UnknownModelError`.
    """
    resources = pool if isinstance(pool, Resources) else Resources(pool=pool)
    return Node(speak_alone(resources, model), resources, "route_to_llm")


def make_answer_node(resources: Resources) -> Node:
    """The end of a turn: the answer, its citations, the stop reason and the bill."""
    return Node(finish, resources, "finish")
