"""What a run tells while it goes: the events of `stream_mode="custom"`, which the terminal, the viewer and the tests
read. `v` changes when a field changes its meaning or goes; new fields and types may come without it."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from router_graph.state import Citation, Decision, Observation, Option, StopReason

VERSION = 1


class Event(TypedDict):
    """What all events have."""

    v: Literal[1]
    type: str
    turn: str
    at: float
    """Seconds since 1970."""


class TurnBegan(Event):
    """`turn`: a question came in."""

    question: str
    menu: list[Option]


class StepBegan(Event):
    """`step`: the policy is asked."""

    number: int


class Token(Event):
    """`token`: a piece of the policy's reply. `number` is the step's; `again` says that the pieces so far are void."""

    number: int
    text: str
    again: bool


class Problem(Event):
    """`problem`: the policy could not decide. The answer comes from what there is."""

    number: int
    text: str


class Decided(Event):
    """`decision`: what the policy does, and why."""

    number: int
    thought: str
    actions: list[dict[str, Any]]
    decision: Decision


class Observed(Event):
    """`observation`: what came of a route. `action` is its position among the step's actions."""

    number: int
    action: int
    target: str
    query: str
    observation: Observation


class Answered(Event):
    """`answer`: the end of the turn."""

    answer: str
    citations: list[Citation]
    stop_reason: StopReason
    usd: float
    tokens: int
    steps: int
