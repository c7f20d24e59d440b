"""What rewards read from a record: what was asked and what came of it, what broke the grammar, the bare answer."""

from __future__ import annotations

from collections.abc import Iterator

from router_graph.actions import Answer, Malformed, Route, RouteToKB, RouteToLLM, action_from_dict
from router_graph.state import Observation, Option, Step
from router_graph.trajectories.records import RunRecord, StepRecord


def step_of(run: RunRecord, number: int) -> StepRecord:
    """The run's step of this number (from 1). Raises `KeyError` where there is none."""
    found = next((one for one in run.steps if one.number == number), None)
    if found is None:
        raise KeyError(f"The run {run.run_id} has no step {number}.")
    return found


def before(run: RunRecord, number: int) -> tuple[Step, ...]:
    """The steps before the one of this number."""
    return tuple(one.step for one in run.steps if one.number < number)


def taken(step: Step) -> Iterator[tuple[Route, Observation]]:
    """Each route that a step wanted, and what came of it, refusals included."""
    for position, data in enumerate(step.get("actions", ())):
        observation = step.get("observations", {}).get(str(position))
        if data["kind"] in ("kb", "llm") and observation is not None:
            action = action_from_dict(data)
            assert isinstance(action, RouteToKB | RouteToLLM)
            yield action, observation


def texts_of(came: Observation) -> list[str]:
    """What a route brought to read: its documents, else what a model said."""
    return [f"{hit['title']} {hit['text']}" for hit in came["hits"]] or [came["text"]]


def answer_of(step: Step) -> str | None:
    """The answer that a step gives; None where it gives none."""
    said = (action_from_dict(one) for one in step.get("actions", ()) if one["kind"] == "answer")
    return next((one.text for one in said if isinstance(one, Answer)), None)


def option_of(run: RunRecord, key: str) -> Option | None:
    """The option of the run's menu that has this key."""
    return next((one for one in run.menu if one["key"] == key), None)


def fault(run: RunRecord, step: Step) -> str | None:
    """What in the policy's reply is no action, in a sentence; None where nothing is.

    The step's actions are what the protocol's own parser read from the policy's own reply, and nothing else is looked
    at: what a source says can never break the policy's format. A source that is not on the menu is a fault too; one
    that is merely not to be had now is none, and neither is a reply that was never made.
    """
    for data in step.get("actions", ()):
        action = action_from_dict(data)
        if isinstance(action, Malformed):
            return action.problem
        if isinstance(action, RouteToKB | RouteToLLM) and option_of(run, action.target) is None:
            return f"There is no {action.target}."
    return None
