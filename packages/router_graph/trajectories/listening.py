"""What LangChain and LangGraph tell a callback handler, put in order: what runs in what, and who asks a model there."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult

from router_graph.policies.chat import TAG
from router_graph.trajectories.records import TOKENS
from router_graph.trajectories.running import Asked, Chain


class Listener(BaseCallbackHandler):
    """Hears any graph, and says what ended, what failed, and which model was called."""

    run_inline = True
    """In the caller's thread, so that what happens is heard in its order."""

    def __init__(self) -> None:
        self._chains: dict[UUID, Chain] = {}
        self._calls: dict[UUID, Asked] = {}

    @abstractmethod
    def ended(self, chain: Chain, outputs: Any) -> None:
        """A graph, a node or anything else has ended, and gave this back."""

    @abstractmethod
    def failed(self, chain: Chain, error: BaseException) -> None:
        """It broke off; an interrupt is told so too."""

    @abstractmethod
    def called(self, asked: Asked, response: LLMResult | None, error: BaseException | None) -> None:
        """A model has replied, or failed."""

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        """A graph, a node, or anything else that LangChain runs."""
        node = (metadata or {}).get("langgraph_node")
        self._begin(run_id, parent_run_id, metadata, str(node or name or ""), turn=turn_of(inputs), is_node=bool(node))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """What a node gave back is what there is to know of it."""
        chain = self._over(run_id)
        if chain is not None:
            self.ended(chain, outputs)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A node, or a graph, broke off. An interrupt is no error: the run goes on when it is resumed."""
        chain = self._over(run_id)
        if chain is not None:
            self.failed(chain, error)

    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """A tool may ask a model, or run a graph; so may a retriever."""
        node = (metadata or {}).get("langgraph_node")
        self._begin(run_id, parent_run_id, metadata, str(node or ""), turn="", is_node=False)

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        """Nothing is known of a tool but what it was part of."""
        self.on_chain_end(None, run_id=run_id)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """As `on_chain_error`."""
        self.on_chain_error(error, run_id=run_id)

    def on_retriever_start(self, serialized: dict[str, Any] | None, query: str, **facts: Any) -> None:
        """As `on_tool_start`."""
        self.on_tool_start(serialized, query, **facts)

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **_: Any) -> None:
        """As `on_tool_end`."""
        self.on_chain_end(None, run_id=run_id)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """As `on_chain_error`."""
        self.on_chain_error(error, run_id=run_id)

    def on_custom_event(
        self, name: str, data: Any, *, run_id: UUID, tags: list[str] | None = None, metadata: Any = None, **_: Any
    ) -> None:
        """The tokens of a policy that put its reply together of several calls."""
        chain = self._chains.get(run_id)
        if name == TOKENS and chain is not None:
            chain.tokens = data

    def on_chat_model_start(
        self,
        serialized: dict[str, Any] | None,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """A model is asked."""
        chain = self._chains.get(parent_run_id) if parent_run_id else None
        within = self._calls.get(parent_run_id) if parent_run_id else None
        if within is not None:
            self._calls[run_id] = within.inner(run_id)  # a model around a model: one call, told by the outer one
            return
        asked = self._calls[run_id] = Asked(
            run_id=run_id,
            chain=chain,
            prompt=messages[0] if messages else [],
            is_policy=TAG in (tags or ()),
            params={**(more.get("invocation_params") or {}), **(metadata or {})},
            started=time.perf_counter(),
        )
        if chain is not None:
            chain.top().under_way[run_id] = asked

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """A model has said all."""
        asked = self._taken(run_id)
        if asked is not None:
            self.called(asked, response, None)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A model failed."""
        asked = self._taken(run_id)
        if asked is not None:
            self.called(asked, None, error)

    def _begin(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        metadata: Mapping[str, Any] | None,
        node: str,
        *,
        turn: str,
        is_node: bool,
    ) -> None:
        parent = self._chains.get(parent_run_id) if parent_run_id else None
        root = parent.root if parent else run_id
        chain = self._chains[run_id] = Chain(root, parent, node, turn, is_node, metadata or {})
        if parent is not None:
            chain.top().inside.add(run_id)

    def _over(self, run_id: UUID) -> Chain | None:
        chain = self._chains.pop(run_id, None)
        if chain is not None and chain.parent is not None:
            chain.top().inside.discard(run_id)
        elif chain is not None:
            chain.given_up = [asked for call in list(chain.under_way) if (asked := self._taken(call)) is not None]
            for one in list(chain.inside):  # of a stream that was given up, nobody tells
                self._chains.pop(one, None)
        return chain

    def _taken(self, run_id: UUID) -> Asked | None:
        asked = self._calls.pop(run_id, None)
        if asked is not None and asked.chain is not None:
            asked.chain.top().under_way.pop(run_id, None)
        return asked


def turn_of(state: Any) -> str:
    """The turn of a state of ours, or of a route's task; other graphs may call something else a turn."""
    if not isinstance(state, Mapping) or not isinstance(state.get("settings"), Mapping):
        return ""
    turn = state.get("turn")
    return turn if isinstance(turn, str) else ""
