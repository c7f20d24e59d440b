"""Listens to graphs while they run, and writes down what happens: a callback handler of LangChain.

It reads what LangGraph tells every handler: what each node was given and gave back, and what each chat model was sent
and said. So our nodes do nothing for it, a graph that nobody records pays nothing, and a graph of another make is
recorded too, as the calls of its models.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langgraph.errors import GraphBubbleUp

from router_graph.errors import SettingsError
from router_graph.ledger import total
from router_graph.policies.chat import TAG
from router_graph.state import plain
from router_graph.trajectories.calls import call_of, message_of
from router_graph.trajectories.records import SCHEMA, TOKENS, Call, Kind, Line, Tokens
from router_graph.trajectories.writer import RunWriter

_logger = logging.getLogger(__name__)

_OWN = ("thread_id", "ls_", "langgraph_", "checkpoint_", "__")
"""How keys of metadata begin that are LangChain's and LangGraph's, and not the caller's."""


class Recorder(BaseCallbackHandler):
    """Writes the runs of any graph into a folder, in one file for each process.

    graph.invoke({"question": …}, config={"callbacks": [Recorder("runs")], "metadata": {"question_id": "q7"}})

    One recorder serves any number of graphs, threads and event loops at once. What cannot be written never breaks the
    run: it is counted in `lost`, and said once. With `strict`, it raises. `redact` changes each text before it is
    written. Raises `SettingsError` where the folder cannot be written.
    """

    run_inline = True
    """In the caller's thread, so that what happens is written in its order."""

    def __init__(
        self,
        folder: str | Path,
        *,
        redact: Callable[[str], str] | None = None,
        strict: bool = False,
        **options: Any,
    ) -> None:
        self.raise_error = strict
        self.writer = RunWriter(folder, redact=redact, **options)
        self.lost = 0
        """Lines that could not be made or written."""
        self._chains: dict[UUID, _Chain] = {}
        self._calls: dict[UUID, _Asked] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. What comes later begins another."""
        self.writer.close()

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
        parent = self._chains.get(parent_run_id) if parent_run_id else None
        metadata = metadata or {}
        chain = _Chain(
            root=parent.root if parent else run_id,
            parent=parent,
            node=str(metadata.get("langgraph_node") or name or ""),
            turn=_text(inputs, "turn"),
            metadata=metadata,
            inputs=inputs if parent is None else None,
        )
        self._chains[run_id] = chain

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """What a node gave back is what there is to know of it."""
        chain = self._chains.pop(run_id, None)
        if chain is not None:
            self._safely(lambda: self._ended(chain, outputs))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A node, or a graph, broke off. An interrupt is no error: the run goes on when it is resumed."""
        chain = self._chains.pop(run_id, None)
        if chain is None or isinstance(error, GraphBubbleUp):
            return
        self._safely(lambda: self._failed(chain, error))

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
        within = next((one for one in self._calls.values() if one.run_id == parent_run_id), None)
        if within is not None:
            self._calls[run_id] = within.inner(run_id)  # a model around a model: one call, told by the outer one
            return
        self._calls[run_id] = _Asked(
            run_id=run_id,
            chain=chain,
            prompt=messages[0] if messages else [],
            is_policy=TAG in (tags or ()),
            params={**(more.get("invocation_params") or {}), **(metadata or {})},
            started=time.perf_counter(),
        )

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """A model has said all."""
        asked = self._calls.pop(run_id, None)
        if asked is not None:
            self._safely(lambda: self._called(asked, response, None))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A model failed."""
        asked = self._calls.pop(run_id, None)
        if asked is not None:
            self._safely(lambda: self._called(asked, None, error))

    def _ended(self, chain: _Chain, outputs: Any) -> None:
        given = outputs if isinstance(outputs, Mapping) else {}
        if chain.is_foreign:
            self._write("ended", str(chain.root), answer=_last_text(outputs), citations=[], stop_reason=None)
        if chain.holds_nodes:
            return  # a graph gives back what its nodes have told
        if {"turn", "asked", "menu", "settings"} <= given.keys():
            self._began(chain, given)
        if "answer" in given and "stop_reason" in given and "steps" not in given:
            self._answered(chain, given)
        elif "asked" in given or ("steps" in given and "answer" not in given):
            for step in given["steps"] if isinstance(given["steps"], list) else ():
                self._stepped(chain, step)

    def _began(self, chain: _Chain, given: Mapping[str, Any]) -> None:
        chain.is_node()
        asked = given["asked"]
        self._write(
            "began",
            given["turn"],
            thread=str(chain.metadata.get("thread_id") or ""),
            parent=str(chain.root),
            question=asked["question"],
            images=list(asked["images"]),
            earlier=list(asked["earlier"]),
            menu=given["menu"],
            settings=given["settings"],
            metadata=_own(chain.metadata),
            software=_software(),
        )

    def _stepped(self, chain: _Chain, step: Any) -> None:
        if not isinstance(step, Mapping) or "id" not in step:
            return
        chain.is_node()
        turn, number = str(step["id"]).rpartition("/")[0], step["number"]
        if "decision" in step:
            own = [call for call in chain.calls if call["is_policy"]]  # those of a shadow too
            policy = next((one for one in reversed(own) if one["reply"] == step["reply"]), own[-1] if own else None)
            for call in chain.calls:
                if call is not policy:
                    self._write("called", turn, number=number, call=call)
            chain.calls.clear()
            if policy is not None and chain.tokens is not None:
                policy = {**policy, "reply": step["reply"], "tokens": chain.tokens}
            self._write("decided", turn, number=number, step=step, call=policy)
            return
        for call in chain.calls:
            self._write("called", turn, number=number, call=call)
        chain.calls.clear()
        for position, observation in step.get("observations", {}).items():
            self._write("observed", turn, number=number, position=int(position), observation=observation)

    def _answered(self, chain: _Chain, given: Mapping[str, Any]) -> None:
        chain.is_node()
        told = given["messages"][-1]
        self._write(
            "ended",
            chain.turn or str(told.id).removesuffix("-answer"),
            answer=given["answer"],
            citations=given["citations"],
            stop_reason=given["stop_reason"],
            usd=float(told.response_metadata.get("usd") or 0.0),
            tokens=total(given.get("ledger") or {}, "spent").tokens,
        )

    def _failed(self, chain: _Chain, error: BaseException) -> None:
        turn = chain.turn
        for call in chain.calls:
            self._write("called", turn or str(chain.root), call=call)
        if turn:
            self._write("failed", turn, error=_sentence(error))
        elif chain.parent is None and chain.is_foreign:
            self._write("failed", str(chain.root), error=_sentence(error))

    def _called(self, asked: _Asked, response: LLMResult | None, error: BaseException | None) -> None:
        if asked.is_inner:
            return
        call = call_of(
            call_id=str(asked.run_id),
            node=asked.chain.node if asked.chain else "",
            is_policy=asked.is_policy,
            prompt=[message_of(one) for one in asked.prompt],
            params=asked.params,
            seconds=time.perf_counter() - asked.started,
            response=response,
            error="" if error is None else _sentence(error),
        )
        ours = asked.chain.ours() if asked.chain else None
        if ours is not None:
            ours.calls.append(call)
            return
        root = str(asked.chain.root if asked.chain else asked.run_id)
        top = asked.chain.top() if asked.chain else None
        if top is None or not top.is_foreign:
            if top is not None:
                top.is_foreign = True
            self._write(
                "began",
                root,
                question=_asked_text(asked.prompt),
                metadata=_own(top.metadata if top else {}),
                thread=str(top.metadata.get("thread_id") or "") if top else "",
                software=_software(),
            )
        self._write("called", root, call=call)
        if top is None:
            self._write("ended", root, answer=call["reply"], citations=[], stop_reason=None)

    def _write(self, kind: Kind, run: str, **facts: Any) -> None:
        line: Line = {"v": SCHEMA, "kind": kind, "run": run, "at": time.time(), **facts}  # type: ignore[typeddict-item]
        if not self.writer.write(line):
            self.lost += 1
            if self.raise_error:
                raise SettingsError(self.writer.problem)

    def _safely(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.lost += 1
            if self.raise_error:
                raise
            if self.lost == 1:
                _logger.warning("A run could not be recorded (%s); it goes on.", _sentence(error))


@dataclass(slots=True)
class _Chain:
    """Something that runs: a graph, a node, a step of LangChain."""

    root: UUID
    parent: _Chain | None
    node: str
    turn: str
    metadata: Mapping[str, Any]
    inputs: Any
    calls: list[Call] = field(default_factory=list)
    tokens: Tokens | None = None
    is_foreign: bool = False
    """A root whose models were asked outside of our nodes."""
    holds_nodes: bool = False
    """A graph with nodes of ours in it."""

    def is_node(self) -> None:
        """It is a node of ours, so that all around it are graphs."""
        around = self.parent
        while around is not None:
            around.holds_nodes, around = True, around.parent

    def ours(self) -> _Chain | None:
        """The node of ours that this runs in, if it does."""
        chain: _Chain | None = self
        while chain is not None and not chain.turn:
            chain = chain.parent
        return chain

    def top(self) -> _Chain:
        """What was called first."""
        chain = self
        while chain.parent is not None:
            chain = chain.parent
        return chain


@dataclass(slots=True)
class _Asked:
    """A model that is being asked."""

    run_id: UUID
    chain: _Chain | None
    prompt: Sequence[BaseMessage]
    is_policy: bool
    params: Mapping[str, Any]
    started: float
    is_inner: bool = False

    def inner(self, run_id: UUID) -> _Asked:
        """A call inside this one."""
        return _Asked(run_id, self.chain, (), self.is_policy, {}, self.started, is_inner=True)


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _text(inputs: Any, key: str) -> str:
    value = inputs.get(key) if isinstance(inputs, Mapping) else None
    return value if isinstance(value, str) else ""


def _own(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the caller said of the run."""
    return {key: plain(value) for key, value in metadata.items() if not key.startswith(_OWN)}


def _asked_text(prompt: Sequence[BaseMessage]) -> str:
    return next((str(one.text) for one in reversed(prompt) if one.type == "human"), "")


def _last_text(outputs: Any) -> str:
    messages = outputs.get("messages") if isinstance(outputs, Mapping) else outputs
    last = messages[-1] if isinstance(messages, list) and messages else messages
    return str(last.text) if isinstance(last, BaseMessage) else last if isinstance(last, str) else ""


@cache
def _software() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("polyroute", "langgraph", "langchain-core")}
