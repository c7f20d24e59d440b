"""The routing graph: think, ask a knowledge base or a model, answer.

from router_graph import create_router

graph = create_router([handbook, prices], pool=pool)
print(graph.invoke({"question": "Which plan has the longest leave, and what does it cost?"})["answer"])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router_graph.accounts import Accounts
    from router_graph.actions import Action, Answer, Malformed, Note, RouteToKB, RouteToLLM
    from router_graph.bill import format_bill
    from router_graph.budget import Budget
    from router_graph.context import RouterContext
    from router_graph.errors import RouterError
    from router_graph.explain import Preview, apreview, preview, replay
    from router_graph.forking import afork, fork
    from router_graph.graph import build_router_graph, create_router
    from router_graph.knowledge import Knowledge
    from router_graph.ledger import Ledger, merge_entries
    from router_graph.middleware import RouterMiddleware
    from router_graph.model_choice import Escalation
    from router_graph.nodes import (
        make_answer_node,
        make_begin_node,
        make_kb_node,
        make_llm_node,
        make_think_node,
        route_after_think,
    )
    from router_graph.policies.policy import Choice, ChoicePolicy, Policy
    from router_graph.protocols.protocol import Protocol, Reading
    from router_graph.resources import Resources
    from router_graph.rules import Exclusion
    from router_graph.settings_live import load_router
    from router_graph.state import Hit, Observation, RouterInput, RouterOutput, RouterState, Step, merge_steps
    from router_graph.tool import router_as_tool
    from router_graph.view import View

_HOME = {
    "Accounts": "accounts",
    "Action": "actions",
    "Answer": "actions",
    "Budget": "budget",
    "Choice": "policies.policy",
    "ChoicePolicy": "policies.policy",
    "Escalation": "model_choice",
    "Exclusion": "rules",
    "Hit": "state",
    "Knowledge": "knowledge",
    "Ledger": "ledger",
    "Malformed": "actions",
    "Note": "actions",
    "Observation": "state",
    "Policy": "policies.policy",
    "Preview": "explain",
    "Protocol": "protocols.protocol",
    "Reading": "protocols.protocol",
    "Resources": "resources",
    "RouteToKB": "actions",
    "RouteToLLM": "actions",
    "RouterContext": "context",
    "RouterError": "errors",
    "RouterInput": "state",
    "RouterMiddleware": "middleware",
    "RouterOutput": "state",
    "RouterState": "state",
    "Step": "state",
    "View": "view",
    "afork": "forking",
    "apreview": "explain",
    "build_router_graph": "graph",
    "create_router": "graph",
    "fork": "forking",
    "format_bill": "bill",
    "load_router": "settings_live",
    "make_answer_node": "nodes",
    "make_begin_node": "nodes",
    "make_kb_node": "nodes",
    "make_llm_node": "nodes",
    "make_think_node": "nodes",
    "merge_entries": "ledger",
    "merge_steps": "state",
    "preview": "explain",
    "replay": "explain",
    "route_after_think": "nodes",
    "router_as_tool": "tool",
}

__all__ = [
    "Accounts",
    "Action",
    "Answer",
    "Budget",
    "Choice",
    "ChoicePolicy",
    "Escalation",
    "Exclusion",
    "Hit",
    "Knowledge",
    "Ledger",
    "Malformed",
    "Note",
    "Observation",
    "Policy",
    "Preview",
    "Protocol",
    "Reading",
    "Resources",
    "RouteToKB",
    "RouteToLLM",
    "RouterContext",
    "RouterError",
    "RouterInput",
    "RouterMiddleware",
    "RouterOutput",
    "RouterState",
    "Step",
    "View",
    "afork",
    "apreview",
    "build_router_graph",
    "create_router",
    "fork",
    "format_bill",
    "load_router",
    "make_answer_node",
    "make_begin_node",
    "make_kb_node",
    "make_llm_node",
    "make_think_node",
    "merge_entries",
    "merge_steps",
    "preview",
    "replay",
    "route_after_think",
    "router_as_tool",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that importing the package stays cheap.
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
