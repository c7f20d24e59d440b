"""The end of a turn: the policy's answer, or the best that the evidence gives. There always is one."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from router_graph.actions import Answer
from router_graph.citations import citations
from router_graph.nodes.begin import MET
from router_graph.policies.closing import NOTHING, close
from router_graph.resources import Resources
from router_graph.state import RouterState
from router_graph.turn import Turn
from router_graph.view import View


async def finish(resources: Resources, state: RouterState, runtime: Runtime[Any]) -> dict[str, Any]:
    """The answer with its citations, why the run ended, and the bill."""
    turn = Turn(resources, state, runtime)
    view = turn.view()
    said = [action for step, action in view.actions() if step is turn.steps[-1] and isinstance(action, Answer)]
    text = next((one.text.strip() for one in said if one.text.strip()), "") or best_answer(view)
    forced = turn.steps[-1]["decision"]["forced"]
    cited = citations(text, view.evidence)
    ledger = turn.ledger
    resources.accounts.close(turn.id)  # what is under way is booked now
    entries, spent = ledger.entries, ledger.spent
    reason = forced or ("no_answer" if text.startswith(NOTHING) else "answered")
    turn.tell(
        "answer",
        answer=text,
        citations=cited,
        stop_reason=reason,
        usd=spent.usd,
        tokens=spent.tokens,
        steps=len(turn.steps),
    )
    facts = {"stop_reason": reason, "usd": spent.usd, MET: list(state.get("met", ()))}
    message = AIMessage(text, id=f"{turn.id}-answer", response_metadata=facts)
    return {"answer": text, "citations": cited, "stop_reason": reason, "ledger": entries, "messages": [message]}


def best_answer(view: View) -> str:
    """What the evidence says; else what a model said last; else an honest sentence."""
    closing = close(view).actions[0]
    assert isinstance(closing, Answer)
    return closing.text
