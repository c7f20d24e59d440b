"""The router as a tool of an agent of LangChain: the agent talks, and what it does not know it asks the router.

python examples/agent.py

`create_agent` takes any chat model that calls tools; put yours where StandIn() stands. The tool's description is made
of what the knowledge bases say of themselves, and each call keeps to a budget of its own. What came back to the agent
is the answer with its sources; steps and bill lie beside it, in the tool message's artifact.
"""

from __future__ import annotations

import tempfile

from company import handbook_of, plans_of
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from stand_in import StandIn

from kb_tools import Catalog
from router_graph import RouterContext, create_router, format_bill, router_as_tool


def main() -> None:
    """One question, and what the agent, the tool and the bill said."""
    with tempfile.TemporaryDirectory() as folder, Catalog(folder) as catalog:
        router = create_router([handbook_of(catalog), plans_of(catalog)])
        tool = router_as_tool(router, name="ask_company", context=RouterContext(max_steps=3, usd=0.01))
        print(f"{tool.name}: {tool.description}\n")
        agent = create_agent(StandIn(), tools=[tool])
        done = agent.invoke({"messages": [("user", "How many days of leave does everybody have?")]})
    for message in done["messages"]:
        calls = [f"{one['name']}({one['args']['question']!r})" for one in getattr(message, "tool_calls", [])]
        print(f"{message.type}: {' '.join(calls) or message.text}")
        if isinstance(message, ToolMessage):
            run = message.artifact
            print(f"\n({len(run['steps'])} steps, {run['stop_reason']})\n{format_bill(run['ledger'])}\n")


if __name__ == "__main__":
    main()
