"""The whole router as one node of a graph of your own. No key, no server, no model.

python examples/subgraph.py

It reads `messages` (or `question`), and writes `answer`, `citations`, `stop_reason`, `steps` and `ledger` into the keys
of these names that your state has. own_graph.py takes single nodes of it.
"""

from __future__ import annotations

import tempfile
from typing import Any

from company import handbook_of, plans_of
from langgraph.graph import END, START, StateGraph

from kb_tools import Catalog
from router_graph import RouterState, create_router


class Desk(RouterState, total=False):
    """The state of a help desk: the router's own keys, and one more."""

    ticket: str


def close(state: Desk) -> dict[str, str]:
    """What happens to the answer is the desk's affair."""
    source = state["citations"][0]["title"] if state["citations"] else "nobody"
    return {"ticket": f"closed after {len(state['steps'])} steps; the answer is from {source!r}"}


def help_desk(router: Any) -> Any:
    """router → close."""
    graph = StateGraph(Desk)
    graph.add_node("router", router)
    graph.add_node("close", close)
    graph.add_edge(START, "router")
    graph.add_edge("router", "close")
    graph.add_edge("close", END)
    return graph.compile()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, Catalog(folder) as catalog:
        desk = help_desk(create_router([handbook_of(catalog), plans_of(catalog)]))
        done = desk.invoke({"messages": [("user", "How many days of leave does everybody have?")]})
        print(f"{done['answer']}\n{done['ticket']}")
