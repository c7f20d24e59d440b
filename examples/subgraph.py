"""A graph of your own around the router, and one that takes a single node of it. No key, no server, no model.

python examples/subgraph.py
"""

from __future__ import annotations

import tempfile
from typing import Any

from langgraph.graph import END, START, MessagesState, StateGraph

from kb_tools import Catalog, Passage
from router_graph import RouterState, create_router, make_kb_node


class Desk(RouterState, total=False):
    """The state of a help desk: the router's own keys, and one more."""

    ticket: str


def help_desk(router: Any) -> Any:
    """The whole router as one node: it reads `messages` and writes `answer`, `citations`, `steps` and the bill."""

    def close(state: Desk) -> dict[str, str]:
        source = state["citations"][0]["title"] if state["citations"] else "nobody knows"
        return {"ticket": f"closed after {len(state['steps'])} steps, by {source!r}"}

    graph = StateGraph(Desk)
    graph.add_node("router", router)
    graph.add_node("close", close)
    graph.add_edge(START, "router")
    graph.add_edge("router", "close")
    graph.add_edge("close", END)
    return graph.compile()


class Look(MessagesState, total=False):
    """The state of a graph that searches once: the key that it shares with the node is `hits`."""

    hits: list[dict[str, Any]]


def look_up(knowledge: Any) -> Any:
    """One node of the router alone: a search, with no policy around it."""
    graph = StateGraph(Look)
    graph.add_node("search", make_kb_node(knowledge))
    graph.add_edge(START, "search")
    graph.add_edge("search", END)
    return graph.compile()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, Catalog(folder) as catalog:
        handbook = catalog.create("handbook", description="The staff handbook: leave, travel and expenses.")
        handbook.add(
            [
                Passage(id="leave", title="Leave", text="Everybody has 30 days of leave a year. Ask for it in Tempo."),
                Passage(id="travel", title="Travel", text="Trains are booked by the office. Flights need a signature."),
            ]
        )
        asked = {"messages": [("user", "How many days of leave does everybody have?")]}
        done = help_desk(create_router([handbook])).invoke(asked)
        print("the whole router:", done["answer"], "|", done["ticket"])
        for hit in look_up(handbook).invoke(asked)["hits"]:
            print("a single node:", f"[{hit['kb']}:{hit['doc_id']}]", hit["text"])
