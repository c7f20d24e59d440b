"""What R1-Router remembers of a run: rounds of sub-questions with their answers, and the role that is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from router_graph.actions import Malformed, Note, Route, RouteToKB, RouteToLLM, action_from_dict
from router_graph.state import Observation, Step
from router_graph.view import View

Role = Literal["route", "read", "conclude"]
"""Ask a sub-question; read its answer out of what was found; conclude the answer of the question."""


@dataclass
class Round:
    """Sub-questions that were asked at once, and their answer."""

    came: list[tuple[Route, Observation]]
    answer: str | None
    """None until it has been read."""

    @property
    def question(self) -> str:
        """What was asked."""
        return " ".join(dict.fromkeys(route.query for route, _ in self.came))

    @property
    def found(self) -> bool:
        """Whether there is anything to read."""
        return any(observation["status"] == "ok" for _, observation in self.came)

    @property
    def outcome(self) -> str:
        """The answer; or what went wrong."""
        if self.answer is not None:
            return self.answer
        wrong = [observation["text"] for _, observation in self.came if observation["status"] != "ok"]
        return " ".join(wrong) or "not read yet"


def role(view: View, *, reads_nothing: bool) -> Role:
    """What the policy does at this step; `reads_nothing` has it read where nothing was found."""
    if view.must_answer:
        return "conclude"
    for step in reversed(view.steps):
        actions = [action_from_dict(data) for data in step.get("actions", ())]
        notes = [one for one in actions if isinstance(one, Note)]
        if any(one.enough for one in notes):
            return "conclude"
        if any(isinstance(one, RouteToKB | RouteToLLM) for one in actions):
            statuses = [one["status"] for one in step.get("observations", {}).values()]
            return "read" if "ok" in statuses or (statuses and reads_nothing) else "route"
        if notes:
            return "route"
    return "route"


def rounds(view: View) -> list[Round]:
    """The rounds so far."""
    made: list[Round] = []
    for step in view.steps:
        came = _came(step)
        actions = [action_from_dict(data) for data in step.get("actions", ())]
        note = " ".join(one.text for one in actions if isinstance(one, Note) and one.text)
        if came:
            made.append(Round(came, None))
        elif note and made and made[-1].answer is None:
            made[-1].answer = note
        elif note:
            made.append(Round([], note))
    return made


def problems(view: View) -> list[str]:
    """What was wrong with the last replies, back to the last one that nothing was wrong with."""
    found: list[str] = []
    for step in reversed(view.steps):
        actions = [action_from_dict(data) for data in step.get("actions", ())]
        wrong = [one.problem for one in actions if isinstance(one, Malformed)]
        found = wrong + found
        if len(wrong) < len(actions) or not wrong:
            break
    return found


def _came(step: Step) -> list[tuple[Route, Observation]]:
    actions, observations = map(action_from_dict, step.get("actions", ())), step.get("observations", {})
    pairs = ((one, observations.get(str(position))) for position, one in enumerate(actions))
    return [(one, came) for one, came in pairs if isinstance(one, RouteToKB | RouteToLLM) and came is not None]
