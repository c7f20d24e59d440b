"""Nodes of the router in a graph of your own: your state, your edges, and of ours only a search and a model.

python examples/own_graph.py

A help desk answers a ticket: what it must not see is taken out, the handbook is searched, a model writes the draft, and
a draft without a source goes to a person. No policy decides here: the way is yours, and the bill is kept all the same.
subgraph.py has the whole router as one node, own_loop.py its loop with a node of yours in it.
"""

from __future__ import annotations

import re
import tempfile
from typing import Annotated, Any

from company import handbook_of
from langchain_core.messages import AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from stand_in import StandIn
from typing_extensions import TypedDict

from kb_tools import Catalog
from router_graph import Hit, format_bill, make_kb_node, make_llm_node, merge_entries
from router_graph.ledger import Entries
from router_graph.pool import ModelCard, ModelPool


class Ticket(TypedDict, total=False):
    """The state is the desk's. Nodes of ours read and write the keys that they know, and leave the others alone."""

    text: str
    question: str
    hits: list[Hit]
    messages: Annotated[list[AnyMessage], add_messages]
    ledger: Annotated[Entries, merge_entries]
    sent_to: str


def help_desk(knowledge: Any, pool: ModelPool) -> Any:
    """redact → search → draft → send, or hand over."""

    def redact(ticket: Ticket) -> Ticket:
        return {"question": re.sub(r"\S+@\S+", "…", ticket["text"])}

    def has_source(ticket: Ticket) -> str:
        return "send" if re.search(r"\[\w+:\w+\]", ticket["messages"][-1].text) else "hand_over"

    graph = StateGraph(Ticket)
    graph.add_node("redact", redact)
    graph.add_node("search", make_kb_node(knowledge))
    graph.add_node("draft", make_llm_node(pool, "writer"))
    graph.add_node("send", lambda ticket: {"sent_to": "the customer"})
    graph.add_node("hand_over", lambda ticket: {"sent_to": "a person"})
    graph.add_edge(START, "redact")
    graph.add_edge("redact", "search")
    graph.add_edge("search", "draft")
    graph.add_conditional_edges("draft", has_source, ["send", "hand_over"])
    graph.add_edge("send", END)
    graph.add_edge("hand_over", END)
    return graph.compile()


def main() -> None:
    """Two tickets, each with its bill."""
    price = {"input": 0.15, "output": 0.6}  # USD per million tokens
    pool = ModelPool([ModelCard(name="writer", transport="mine", price=price)], transports={"mine": StandIn()})
    with tempfile.TemporaryDirectory() as folder, Catalog(folder) as catalog:
        desk = help_desk(handbook_of(catalog), pool)
        for text in ("I am ann@example.org: how long are receipts kept?", "Is there a gym?"):
            done = desk.invoke({"text": text})
            print(f"{done['question']}\n  to {done['sent_to']}: {done['messages'][-1].text}")
            print("  " + format_bill(done["ledger"]).replace("\n", "\n  "))


if __name__ == "__main__":
    main()
