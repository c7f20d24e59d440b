"""Listens to graphs while they run, and writes down what happens: a callback handler of LangChain.

It reads what LangGraph tells every handler: what each node was given and gave back, and what each chat model was sent
and said. So our nodes do nothing for it, a graph that nobody records pays nothing, and a graph of another make is
recorded too, as the calls of its models.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import LLMResult
from langgraph.errors import GraphBubbleUp, GraphInterrupt

from router_graph.errors import SettingsError
from router_graph.ledger import total
from router_graph.policies.chat import TAG
from router_graph.state import plain
from router_graph.trajectories.calls import call_of, message_of, policys_call
from router_graph.trajectories.cut import each_text
from router_graph.trajectories.records import SCHEMA, TOKENS, Call, Kind, Line, Message
from router_graph.trajectories.redact import Secrets
from router_graph.trajectories.running import Asked, Chain
from router_graph.trajectories.writer import RunWriter

_logger = logging.getLogger(__name__)

_OWN = ("thread_id", "ls_", "lc_", "langgraph_", "checkpoint_", "__")
"""How keys of metadata begin that are LangChain's and LangGraph's, and not the caller's."""
_SECRETS = Secrets()


class Recorder(BaseCallbackHandler):
    """Writes the runs of any graph into a folder, in one file for each process.

    graph.invoke({"question": …}, config={"callbacks": [Recorder("runs")], "metadata": {"question_id": "q7"}})

    One recorder serves any number of graphs, threads and event loops at once. What cannot be written never breaks the
    run: it is counted in `lost`, and said once. With `strict`, it raises. `redact` changes each text before it is
    written: what looks like a key or a password is taken out, unless you say otherwise. With None texts stay as they
    are, but for those of the caller's metadata and of errors. Raises `SettingsError` where the folder cannot be
    written.
    """

    run_inline = True
    """In the caller's thread, so that what happens is written in its order."""

    def __init__(
        self,
        folder: str | Path,
        *,
        redact: Callable[[str], str] | None = _SECRETS,
        strict: bool = False,
        **options: Any,
    ) -> None:
        self.raise_error = strict
        self.writer = RunWriter(folder, redact=redact, **options)
        self.lost = 0
        """Lines that could not be made or written."""
        self._chains: dict[UUID, Chain] = {}
        self._calls: dict[UUID, Asked] = {}
        self._has_told = False

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
        node = (metadata or {}).get("langgraph_node")
        self._begin(run_id, parent_run_id, metadata, str(node or name or ""), turn=_turn(inputs), is_node=bool(node))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """What a node gave back is what there is to know of it."""
        chain = self._over(run_id)
        if chain is not None:
            self._safely(lambda: self._ended(chain, outputs))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A node, or a graph, broke off. An interrupt is no error: the run goes on when it is resumed."""
        chain = self._over(run_id)
        if chain is not None:
            self._safely(lambda: self._failed(chain, error))

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
            self._safely(lambda: self._called(asked, response, None))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A model failed."""
        asked = self._taken(run_id)
        if asked is not None:
            self._safely(lambda: self._called(asked, None, error))

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
            for one in list(chain.inside):  # of a stream that was given up, nobody tells
                self._chains.pop(one, None)
        return chain

    def _taken(self, run_id: UUID) -> Asked | None:
        asked = self._calls.pop(run_id, None)
        if asked is not None and asked.chain is not None:
            asked.chain.top().under_way.pop(run_id, None)
        return asked

    def _ended(self, chain: Chain, outputs: Any) -> None:
        given = outputs if isinstance(outputs, Mapping) else {}
        turn = _turn(given) or chain.turn
        # What is around nodes of ours gives back what they gave back, and so may any node with what it was told.
        if chain.is_node and turn and turn not in chain.told:
            if {"asked", "menu"} <= given.keys():
                self._began(chain, given)
            ends = turn == chain.turn and "answer" in given and "stop_reason" in given and "steps" not in given
            if ends:
                self._answered(chain, given)
            for step in given["steps"] if isinstance(given.get("steps"), list) else ():
                if isinstance(step, Mapping) and str(step.get("id", "")).rpartition("/")[0] == turn:
                    self._stepped(chain, turn, step)
            for one in chain.outside():
                one.told[turn] = ends
        self._left(chain)
        if chain.is_foreign and not chain.waits:
            self._write("ended", str(chain.root), answer=_last_text(outputs), citations=[], stop_reason=None)

    def _left(self, chain: Chain) -> None:
        """Write down the calls that came to no step; of what was called first, also those that were given up."""
        if chain.parent is None:
            for run_id in list(chain.under_way):
                if (asked := self._taken(run_id)) is not None:
                    self._called(asked, None, None)
        calls, chain.calls = chain.calls, []
        for call in calls:
            if chain.turn:
                self._write("called", chain.turn, call=call)
            else:
                self._foreign(chain, call)

    def _began(self, chain: Chain, given: Mapping[str, Any]) -> None:
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

    def _stepped(self, chain: Chain, turn: str, step: Mapping[str, Any]) -> None:
        number, calls = step["number"], chain.calls
        chain.calls = []
        policy = policys_call(calls, step) if "decision" in step else None
        for call in calls:
            if policy is None or call["call_id"] != policy["call_id"]:
                self._write("called", turn, number=number, call=call)
        if "decision" in step:
            if policy is not None and chain.tokens is not None:
                policy = {**policy, "reply": step["reply"], "tokens": chain.tokens}
            self._write("decided", turn, number=number, step=step, call=policy)
            return
        for position, observation in step.get("observations", {}).items():
            self._write("observed", turn, number=number, position=int(position), observation=observation)

    def _answered(self, chain: Chain, given: Mapping[str, Any]) -> None:
        told = given["messages"][-1]
        self._write(
            "ended",
            chain.turn,
            answer=given["answer"],
            citations=given["citations"],
            stop_reason=given["stop_reason"],
            usd=float(told.response_metadata.get("usd") or 0.0),
            tokens=total(given.get("ledger") or {}, "spent").tokens,
        )

    def _failed(self, chain: Chain, error: BaseException) -> None:
        self._left(chain)
        if isinstance(error, GraphBubbleUp):
            chain.top().waits |= isinstance(error, GraphInterrupt)
            return
        if chain.turn:
            self._write("failed", chain.turn, error=_sentence(error))
            return
        if chain.parent is None and chain.is_foreign:
            self._write("failed", str(chain.root), error=_sentence(error))
        for turn in [one for one, ended in chain.told.items() if chain.parent is None and not ended]:
            self._write("failed", turn, error=_sentence(error))  # it broke off between two nodes

    def _called(self, asked: Asked, response: LLMResult | None, error: BaseException | None) -> None:
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
            error=_broken_off(error) if response is None else "",
        )
        ours = asked.chain.ours() if asked.chain else None
        if ours is not None:
            ours.calls.append(call)
            return
        if asked.is_policy and asked.chain is not None and asked.chain.is_node:
            asked.chain.calls.append(call)  # of a think node alone, whose turn is known at its end
            return
        self._foreign(asked.chain, call)

    def _foreign(self, chain: Chain | None, call: Call) -> None:
        """A call outside of our nodes."""
        top = chain.top() if chain else None
        root = str(top.root) if top else call["call_id"]
        if top is None or not top.is_foreign:
            if top is not None:
                top.is_foreign = True
            self._write(
                "began",
                root,
                question=_asked_text(call["prompt"]),
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
            if not self._has_told:
                self._has_told = True
                _logger.warning("A run could not be recorded (%s); it goes on.", _sentence(error))


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {_SECRETS(' '.join(str(error).split())[:500])}"


def _broken_off(error: BaseException | None) -> str:
    return "It was given up before it ended." if error is None else _sentence(error)


def _turn(state: Any) -> str:
    """The turn of a state of ours, or of a route's task; other graphs may call something else a turn."""
    if not isinstance(state, Mapping) or not isinstance(state.get("settings"), Mapping):
        return ""
    turn = state.get("turn")
    return turn if isinstance(turn, str) else ""


def _own(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the caller said of the run, without secrets."""
    own = {str(key): plain(value) for key, value in metadata.items() if not str(key).startswith(_OWN)}
    told: dict[str, Any] = each_text(own, _SECRETS, _SECRETS.hides)
    return told


def _asked_text(prompt: Sequence[Message]) -> str:
    content = next((one["content"] for one in reversed(prompt) if one["role"] == "human"), "")
    return str(HumanMessage(content).text)


def _last_text(outputs: Any) -> str:
    messages = outputs.get("messages") if isinstance(outputs, Mapping) else outputs
    last = messages[-1] if isinstance(messages, list) and messages else messages
    return str(last.text) if isinstance(last, BaseMessage) else last if isinstance(last, str) else ""


@cache
def _software() -> dict[str, str]:
    return {name: _version(name) for name in ("polyroute", "langgraph", "langchain-core")}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # it runs from a folder
        return ""
