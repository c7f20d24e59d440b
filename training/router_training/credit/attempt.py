"""A run as it would stand if at one of its steps something else had been said: what a reward can judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from langchain_core.messages import AIMessage

from router_graph.actions import Action, Answer, Route, RouteToKB, RouteToLLM, action_as_dict
from router_graph.nodes.refusing import not_taken
from router_graph.policies.closing import NOTHING
from router_graph.protocols.protocol import Protocol
from router_graph.state import Observation, Step
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_training.rewards.facts import step_of


def read(run: RunRecord, number: int, reply: str | AIMessage, protocol: Protocol) -> tuple[str, tuple[Action, ...]]:
    """The thought and the actions of another reply to the same state, as the graph would read it.

    Raises `KeyError` where the run has no such step.
    """
    view = view_at(run, number)
    message = reply if isinstance(reply, AIMessage) else AIMessage(reply)
    reading = protocol.read(message, view)
    answers = tuple(one for one in reading.actions if isinstance(one, Answer))
    return reading.thought, (answers or reading.actions) if view.must_answer else reading.actions


def pending(run: RunRecord, number: int, actions: Sequence[Action]) -> tuple[dict[str, Observation], dict[str, Route]]:
    """By position: what is refused at once, and which routes would be taken."""
    refused = not_taken(view_at(run, number), actions)
    routes = {
        str(position): action
        for position, action in enumerate(actions)
        if isinstance(action, RouteToKB | RouteToLLM) and str(position) not in refused
    }
    return refused, routes


def attempt(
    run: RunRecord,
    number: int,
    actions: Sequence[Action],
    observations: Mapping[str, Observation],
    *,
    reply: str = "",
    thought: str = "",
) -> RunRecord:
    """The run up to this step, with these actions and what came of them in its place.

    `observations` are by position. It ends here where it answers, and is open where it does not. Which policy said
    it, how likely it was and what the decision took is not known of what was never said.
    Raises `KeyError` where the run has no such step.
    """
    record = step_of(run, number)
    decision = {**record.step["decision"], "probabilities": None, "propensity": None, "usd": 0.0, "tokens": 0}
    step = Step(
        id=record.step["id"],
        number=number,
        thought=thought,
        reply=reply,
        actions=[action_as_dict(one) for one in actions],
        decision=decision,  # type: ignore[typeddict-item]  # the same fields
        observations=dict(observations),
    )
    answer = next((one.text for one in actions if isinstance(one, Answer)), None)
    kept = tuple(one for one in run.steps if one.number < number)
    return replace(
        run,
        steps=(*kept, replace(record, step=step, call=None)),
        calls=(),
        status="open" if answer is None else "ended",
        answer=answer or "",
        citations=(),
        stop_reason=None if answer is None else "no_answer" if answer.startswith(NOTHING) else "answered",
    )
