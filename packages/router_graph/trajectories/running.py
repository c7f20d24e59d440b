"""What runs while it is recorded: graphs and nodes, one inside the other, and the calls of models in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.messages import BaseMessage

from router_graph.trajectories.records import Call, Tokens


@dataclass(slots=True)
class Chain:
    """Something that runs: a graph, a node, a step of LangChain."""

    root: UUID
    parent: Chain | None
    node: str
    turn: str
    """Of a node in a turn of ours."""
    is_node: bool
    """A node of LangGraph, or something in one."""
    metadata: Mapping[str, Any]
    calls: list[Call] = field(default_factory=list)
    tokens: Tokens | None = None
    inside: set[UUID] = field(default_factory=set)
    """Of a root: what runs in it."""
    under_way: dict[UUID, Asked] = field(default_factory=dict)
    """Of a root: the calls in it that have not ended."""
    given_up: list[Asked] = field(default_factory=list)
    """Of a root that is over: the calls that had not ended."""
    is_foreign: bool = False
    """A root whose models were asked outside of our nodes."""
    waits: bool = False
    """A root that was interrupted, and goes on when it is resumed."""
    told: dict[str, bool] = field(default_factory=dict)
    """The turns of which nodes in it have told, and whether they have ended."""

    def ours(self) -> Chain | None:
        """The node of ours that this runs in, if it does."""
        chain: Chain | None = self
        while chain is not None and not chain.turn:
            chain = chain.parent
        return chain

    def outside(self) -> Iterator[Chain]:
        """What it runs in, the nearest first."""
        chain = self.parent
        while chain is not None:
            yield chain
            chain = chain.parent

    def top(self) -> Chain:
        """What was called first."""
        chain = self
        while chain.parent is not None:
            chain = chain.parent
        return chain


@dataclass(slots=True)
class Asked:
    """A model that is being asked."""

    run_id: UUID
    chain: Chain | None
    prompt: Sequence[BaseMessage]
    is_policy: bool
    params: Mapping[str, Any]
    started: float
    is_inner: bool = False

    def inner(self, run_id: UUID) -> Asked:
        """A call inside this one."""
        return Asked(run_id, self.chain, (), self.is_policy, {}, self.started, is_inner=True)
