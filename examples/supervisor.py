"""A supervisor of two routers: one for science, one for the company, each with a budget of its own, and one bill.

python examples/supervisor.py [FOLDER]    # of the demo's knowledge bases; .demo/kb if left out

The supervisor is an agent whose tools are the routers; what it does not need is not asked. A search costs something
here, so that the budgets bind: the last question takes all the money that science has for one, and says so. All that
was spent, the supervisor's own words included, is one ledger in the end, because entries have ids and merge.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace

from company import handbook_of, plans_of
from demo_knowledge import FOLDER, opened
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from stand_in import StandIn

from kb_tools import Catalog, KBError
from router_graph import Knowledge, Ledger, RouterContext, create_router, format_bill, merge_entries, router_as_tool
from router_graph.ledger import total
from router_graph.pool import ModelCard, ModelPool

QUESTIONS = (
    "How long are receipts kept?",
    "Who discovered the moon with an orbit of 15.95 days, and how many seats does the Team plan have?",
    "Which spacecraft first orbited the planet with the lowest density?",
)


def main(folder: str) -> None:
    """Ask, and show who was asked, what each had left, and the bill."""
    card = ModelCard(name="supervisor", transport="mine", price={"input": 0.15, "output": 0.6})
    pool, ledger = ModelPool([card], transports={"mine": StandIn()}), Ledger()
    with Catalog(folder) as demo, tempfile.TemporaryDirectory() as own, Catalog(own) as catalog:
        science = create_router(
            [replace(Knowledge.of(kb), cost_usd=0.001) for kb in opened(demo, "articles", "tables")]
        )
        company = create_router([handbook_of(catalog), plans_of(catalog)])
        budgets = {"science": 0.004, "company": 0.001}  # USD a question
        tools = [
            router_as_tool(science, name="science", context=RouterContext(usd=budgets["science"])),
            router_as_tool(company, name="company", context=RouterContext(usd=budgets["company"])),
        ]
        agent = create_agent(pool.as_chat_model("supervisor", ledger=ledger), tools=tools)
        bill = ledger.entries
        for question in QUESTIONS:
            print(question)
            for said in agent.invoke({"messages": [("user", question)]})["messages"]:
                if isinstance(said, ToolMessage):
                    run = said.artifact
                    bill = merge_entries(bill, run["ledger"])
                    spent = total(run["ledger"], "spent").usd
                    print(f"  {said.name}: {run['answer']}")
                    print(f"    {run['stop_reason']}; {spent:.4f} of {budgets[said.name]:.4f} USD")
    print("\n" + format_bill(merge_entries(bill, ledger.entries)))


if __name__ == "__main__":
    try:
        main(sys.argv[1] if sys.argv[1:] else str(FOLDER))
    except KBError as error:
        sys.exit(str(error))
