"""One thread of a router, asked from a command line."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from router_graph.errors import QuestionError
from router_graph.ledger import Entries, total

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from router_graph.settings_live import Router

Tell = Callable[[Mapping[str, Any]], None]
Approve = Callable[[Mapping[str, Any]], bool | str]
"""Given what a call is about, whether it may be made; or why not."""


class Conversation:
    """Turns of one thread. `on_event` is told what happens, as in `events`; `approve` is asked before a dear call;
    `about` goes into the record of each run, where runs are recorded."""

    def __init__(
        self,
        router: Router,
        *,
        on_event: Tell = lambda event: None,
        approve: Approve = lambda call: "nobody is there to be asked",
        checkpointer: BaseCheckpointSaver[str] | None = None,
        thread: str | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.thread = thread or uuid.uuid4().hex
        self._graph = router.compiled(checkpointer or InMemorySaver())
        self._accounts = router.resources.accounts
        self._turn: str | None = None
        self._on_event, self._approve = on_event, approve
        # A step is two supersteps of LangGraph, and `limits` ends a turn of thoughts alone after 3 times max_steps.
        most = 2 * (3 * router.resources.defaults["max_steps"] + 6)
        self._config: RunnableConfig = {
            "configurable": {"thread_id": self.thread},
            "metadata": dict(about or {}),
            "recursion_limit": most,
        }

    async def ask(self, question: str, images: Sequence[str] = ()) -> dict[str, Any]:
        """The state after the turn. Raises `RouterError`, before anything is spent, for a question that is none."""
        check_question(question)
        given: Any = {"question": question, "images": list(images)}
        while True:
            async for event in self._graph.astream(given, self._config, stream_mode="custom"):
                self._turn = event["turn"]
                self._on_event(event)
            state = await self._graph.aget_state(self._config)
            if not state.interrupts:
                self._turn = None  # its ledger is in the state
                return dict(state.values)
            given = Command(resume={one.id: self._approve(one.value) for one in state.interrupts})

    def paid(self) -> Entries:
        """What the turn has cost so far, also where it broke off."""
        return {} if self._turn is None else self._accounts.open(self._turn).entries


def check_question(question: str) -> None:
    """Raise `QuestionError` for one that a command line can be given, and a graph cannot take as it is."""
    try:
        question.encode()
    except UnicodeEncodeError:
        raise QuestionError("The question is no text in UTF-8; check the encoding that it comes in.") from None
    if not question.strip():  # to the graph, no question is one that the messages before ask
        raise QuestionError("The question is empty; ask something.")


def facts(question: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """A result as JSON has it."""
    spent = total(result["ledger"], "spent")
    return {
        "question": question,
        "answer": result["answer"],
        "citations": result["citations"],
        "stop_reason": result["stop_reason"],
        "problem": result["steps"][-1]["decision"]["problem"],
        "usd": spent.usd,
        "tokens": spent.tokens,
        "policy": result["settings"]["policy"],
        "protocol": result["settings"]["protocol"],
        "menu": result["menu"],
        "steps": result["steps"],
        "ledger": result["ledger"],
    }
