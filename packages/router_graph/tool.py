"""The routing graph as a tool: any agent that can call tools can ask it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel, Field

from router_graph.context import RouterContext
from router_graph.errors import RouterError
from router_graph.explain import resources_of
from router_graph.ledger import total
from router_graph.resources import Resources

DOES = "Finds out which of its sources to ask, asks them step by step, and answers with what they say."
LONGEST_DESCRIPTION = 1024
"""Characters: some providers refuse a tool with more."""
_SHORTEST_LINE = 90
"""Characters: enough for the longest name."""


class Question(BaseModel):
    """What the tool is called with."""

    question: str = Field(description="One whole question, which can be understood without the conversation.")


def router_as_tool(
    graph: CompiledStateGraph[Any, Any, Any, Any],
    *,
    name: str = "ask_router",
    description: str | None = None,
    context: RouterContext | Mapping[str, Any] | None = None,
) -> BaseTool:
    """A tool with one argument, `question`. `context` holds for each call; `description` is what an agent reads, made
    of the knowledge bases' and models' descriptions if left out.

    The content is the answer with its sources; the artifact has answer, citations, stop_reason, usd, and the steps and
    ledger of the run (`format_bill` prints it). A question that cannot be asked comes back as a message with the status
    "error". Each call is a run of its own that knows nothing of others, whatever the graph was compiled with; in a
    graph with a checkpointer, the tool's run is saved under it, so that a person can be asked from within.
    """
    # Without a checkpointer of its own a graph takes the one of the run around it, under the task that calls it.
    runs = graph.copy({"checkpointer": None})

    async def aask(question: str, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        try:
            return _told(await runs.ainvoke({"question": question}, config, context=context))
        except RouterError as error:
            raise ToolException(str(error)) from error

    def ask(question: str, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        try:
            return _told(runs.invoke({"question": question}, config, context=context))
        except RouterError as error:
            raise ToolException(str(error)) from error

    return StructuredTool.from_function(
        ask,
        aask,
        name=name,
        description=describe(resources_of(graph)) if description is None else description,
        args_schema=Question,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def describe(resources: Resources) -> str:
    """What the graph can be asked, as an agent reads it: its knowledge bases and models, each in a line."""
    sources = [(f"knowledge base {one.name}", one.description) for one in resources.knowledge.values()]
    if resources.pool is not None:
        sources += [(f"model {name}", card.strengths) for name, card in resources.pool.cards.items()]
    lines = [f"- {what}: {words}" if words else f"- {what}" for what, words in sources]
    told, left = [DOES], LONGEST_DESCRIPTION - len(DOES) - len("\n- and 1,000,000 more")
    share = max(_SHORTEST_LINE, left // max(1, len(lines)) - 1)
    for n, line in enumerate(lines):
        short = textwrap.shorten(line, share, placeholder=" …")
        left -= len(short) + 1
        if left < 0:
            told.append(f"- and {len(lines) - n:,} more")
            break
        told.append(short)
    return "\n".join(told)


def _told(result: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if "answer" not in result or result.get("__interrupt__"):
        raise ToolException(
            "The call waits for a person, and nobody can be asked here; run the agent with a checkpointer and a "
            "thread, or leave ask_above_usd out."
        )
    steps, ledger = result["steps"], result["ledger"]
    artifact = {
        "answer": result["answer"],
        "citations": result["citations"],
        "stop_reason": result["stop_reason"],
        "usd": total(ledger, "spent").usd,
        "steps": steps,
        "ledger": ledger,
    }
    lines = [result["answer"]]
    if result["stop_reason"] != "answered":
        lines += ["", f"This is the best that was found; the search was ended early ({result['stop_reason']})."]
    if result["citations"]:
        lines += ["", "Sources:"]
        lines += [f"[{one['kb']}:{one['doc_id']}] {' '.join(one['title'].split())}" for one in result["citations"]]
    return "\n".join(lines), artifact
