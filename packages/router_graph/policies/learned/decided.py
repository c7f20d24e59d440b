"""What a log tells of decisions: in which state which option was chosen, and how well the run fared from there."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Literal, NamedTuple

from router_graph.actions import Answer, RouteToKB, RouteToLLM, action_from_dict
from router_graph.errors import SettingsError
from router_graph.evidence import short_answer
from router_graph.policies.replies import replies
from router_graph.trajectories.records import RunRecord, StepRecord
from router_graph.trajectories.views import view_at
from router_graph.view import View

Rewards = Mapping[tuple[str, int], float]
"""Quality from 0 to 1 by run and number of the step, from 1; 0 stands for the whole run, and for each step of it that
has no number of its own. Prices have no part in it: a policy weighs them when it decides."""
Stage = Literal["new", "empty", "unclear", "found"]
"""Nobody was asked yet; nothing came back; documents did, and no few words of them fit the question; some do, or a
model replied."""


class State(NamedTuple):
    """How far a run is."""

    stage: Stage
    source: str = ""
    """The option that came back last, where something did: what it found is worth what it is worth."""


@dataclass(frozen=True, slots=True)
class Decided:
    """One choice of one option, and what it was worth."""

    run_id: str
    number: int
    question: str
    state: State
    key: str
    quality: float


def decided(runs: Iterable[RunRecord], rewards: Rewards, *, skipped: Counter[str] | None = None) -> list[Decided]:
    """The choices that can be learned from, in the log's order; `skipped` counts the others by what is wrong with them.

    A step that asks several at once tells nothing of each. Raises `SettingsError` for a reward that is not from 0 to 1.
    """
    skipped = Counter() if skipped is None else skipped
    found = []
    for run in runs:
        if not run.is_ours or run.status != "ended":
            skipped["of a run that has not ended, or of another make"] += max(1, len(run.steps))
            continue
        for step in run.steps:
            quality = rewards.get((run.run_id, step.number), rewards.get((run.run_id, 0)))
            key = chosen(step)
            if quality is None:
                skipped["without a reward"] += 1
            elif key is None:
                skipped["that ask several at once, or nobody"] += 1
            elif not 0 <= quality <= 1:
                raise SettingsError(
                    f"The reward of step {step.number} of run {run.run_id!r} is {quality:g}; a policy without weights "
                    "learns from quality between 0 and 1, such as EM or F1, and weighs prices itself."
                )
            else:
                state = state_of(view_at(run, step.number))
                found.append(Decided(run.run_id, step.number, run.question, state, key, float(quality)))
    return found


def chosen(step: StepRecord) -> str | None:
    """The one option that a step chose and got; None where there is no such one."""
    actions = [action_from_dict(one) for one in step.step.get("actions", ())]
    if len(actions) != 1 or not isinstance(actions[0], RouteToKB | RouteToLLM | Answer):
        return None
    came = step.step.get("observations", {}).get("0")
    if not isinstance(actions[0], Answer) and (came is None or came["status"] in ("refused", "declined", "repeated")):
        return None
    return actions[0].target


def state_of(view: View) -> State:
    """How far a run is."""
    sources = [route.target for _, route, came in view.routes() if came["status"] in ("ok", "empty", "failed")]
    if not sources:
        return State("new")
    if replies(view) or short_answer(view.question, view.evidence):
        return State("found", sources[-1])
    return State("unclear" if view.evidence else "empty", sources[-1])


def fingerprint(choices: Sequence[Decided]) -> str:
    """Names what was learned from: 16 hex digits, whatever its order."""
    rows = sorted(json.dumps(astuple(one)) for one in choices)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]
