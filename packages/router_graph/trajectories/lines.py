"""What a listener hears, as lines of a log: of our nodes what they gave back, of other graphs their models' calls."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import LLMResult
from langgraph.errors import GraphBubbleUp, GraphInterrupt

from router_graph.ledger import total
from router_graph.state import plain
from router_graph.trajectories.calls import call_of, message_of, policys_call
from router_graph.trajectories.cut import each_text
from router_graph.trajectories.listening import turn_of
from router_graph.trajectories.records import Call, Kind, Message
from router_graph.trajectories.redact import Secrets
from router_graph.trajectories.running import Asked, Chain

_OWN = ("thread_id", "ls_", "lc_", "langgraph_", "checkpoint_", "__")
"""How keys of metadata begin that are LangChain's and LangGraph's, and not the caller's."""
_SECRETS = Secrets()


class Write(Protocol):
    """Takes a line."""

    def __call__(self, kind: Kind, run: str, **facts: Any) -> None:
        """Of this kind, of this run."""
        ...


class Lines:
    """Makes the lines, and gives each to `write` as soon as it can be made."""

    def __init__(self, write: Write) -> None:
        self.write = write

    def ended(self, chain: Chain, outputs: Any) -> None:
        """What a node gave back is what there is to know of it."""
        given = outputs if isinstance(outputs, Mapping) else {}
        turn = turn_of(given) or chain.turn
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
            self.write("ended", str(chain.root), answer=_last_text(outputs), citations=[], stop_reason=None)

    def _left(self, chain: Chain) -> None:
        """Write down the calls that came to no step; of what was called first, also those that were given up."""
        if chain.parent is None:
            for asked in chain.given_up:
                self.called(asked, None, None)
        calls, chain.calls = chain.calls, []
        for call in calls:
            if chain.turn:
                self.write("called", chain.turn, call=call)
            else:
                self._foreign(chain, call)

    def _began(self, chain: Chain, given: Mapping[str, Any]) -> None:
        asked = given["asked"]
        self.write(
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
                self.write("called", turn, number=number, call=call)
        if "decision" in step:
            if policy is not None and chain.tokens is not None:
                policy = {**policy, "reply": step["reply"], "tokens": chain.tokens}
            self.write("decided", turn, number=number, step=step, call=policy)
            return
        for position, observation in step.get("observations", {}).items():
            self.write("observed", turn, number=number, position=int(position), observation=observation)

    def _answered(self, chain: Chain, given: Mapping[str, Any]) -> None:
        told = given["messages"][-1]
        self.write(
            "ended",
            chain.turn,
            answer=given["answer"],
            citations=given["citations"],
            stop_reason=given["stop_reason"],
            usd=float(told.response_metadata.get("usd") or 0.0),
            tokens=total(given.get("ledger") or {}, "spent").tokens,
        )

    def failed(self, chain: Chain, error: BaseException) -> None:
        """An interrupt is no error: the run goes on when it is resumed."""
        self._left(chain)
        if isinstance(error, GraphBubbleUp):
            chain.top().waits |= isinstance(error, GraphInterrupt)
            return
        if chain.turn:
            self.write("failed", chain.turn, error=one_sentence(error))
            return
        if chain.parent is None and chain.is_foreign:
            self.write("failed", str(chain.root), error=one_sentence(error))
        for turn in [one for one, ended in chain.told.items() if chain.parent is None and not ended]:
            self.write("failed", turn, error=one_sentence(error))  # it broke off between two nodes

    def called(self, asked: Asked, response: LLMResult | None, error: BaseException | None) -> None:
        """A call belongs to the step that it was made in; outside of our nodes, to the graph. Without a response it
        failed, and without an error too it was given up."""
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
            self.write(
                "began",
                root,
                question=_asked_text(call["prompt"]),
                metadata=_own(top.metadata if top else {}),
                thread=str(top.metadata.get("thread_id") or "") if top else "",
                software=_software(),
            )
        self.write("called", root, call=call)
        if top is None:
            self.write("ended", root, answer=call["reply"], citations=[], stop_reason=None)


def one_sentence(error: BaseException) -> str:
    """An error, without secrets."""
    return f"{type(error).__name__}: {_SECRETS(' '.join(str(error).split())[:500])}"


def _broken_off(error: BaseException | None) -> str:
    return "It was given up before it ended." if error is None else one_sentence(error)


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
