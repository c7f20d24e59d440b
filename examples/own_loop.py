"""The router's own loop in a graph of yours, with a node of yours between what came back and the next thought.

python examples/own_loop.py

Think, search, review, think on, answer: `route_after_think` sends to the nodes `route_to_kb`, `route_to_llm`, `think`
and `finish`, so these names stay; what lies behind them is yours. Here a reviewer writes down what each step found. It
could as well ask a person, write to a log of its own, or end the run.
"""

from __future__ import annotations

import operator
import tempfile
from typing import Annotated, Any

from company import handbook_of, plans_of
from langgraph.graph import END, START, StateGraph

from kb_tools import Catalog
from router_graph import (
    Resources,
    RouterState,
    make_answer_node,
    make_begin_node,
    make_kb_node,
    make_think_node,
    route_after_think,
)


class Reviewed(RouterState, total=False):
    """The router's own state, and what the reviewer wrote."""

    review: Annotated[list[str], operator.add]


def review(state: Reviewed) -> dict[str, list[str]]:
    """What the last step found, in a line."""
    step = state["steps"][-1]
    found = [f"{hit['kb']}:{hit['doc_id']}" for one in step["observations"].values() for hit in one["hits"]]
    return {"review": [f"step {step['number']} found {', '.join(found)}"]}


def reviewed(resources: Resources) -> Any:
    """The graph that `create_router` builds, without models, and with the reviewer."""
    graph = StateGraph(Reviewed)
    graph.add_node("begin", make_begin_node(resources))
    graph.add_node("think", make_think_node(resources))
    graph.add_node("route_to_kb", make_kb_node(resources))
    graph.add_node("review", review)
    graph.add_node("finish", make_answer_node(resources))
    graph.add_edge(START, "begin")
    graph.add_edge("begin", "think")
    graph.add_conditional_edges("think", route_after_think, ["think", "route_to_kb", "finish"])
    graph.add_edge("route_to_kb", "review")
    graph.add_edge("review", "think")
    graph.add_edge("finish", END)
    return graph.compile()


def main() -> None:
    """One question, and the reviewer's notes."""
    with tempfile.TemporaryDirectory() as folder, Catalog(folder) as catalog:
        graph = reviewed(Resources([handbook_of(catalog), plans_of(catalog)]))
        done = graph.invoke({"question": "How many seats does the Team plan have?"})
        print(done["answer"], *done["review"], sep="\n")


if __name__ == "__main__":
    main()
