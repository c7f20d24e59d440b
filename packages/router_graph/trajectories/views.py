"""What the policy saw at a step of a recorded run: the state to learn from, in any protocol, under any budget."""

from __future__ import annotations

from router_graph.trajectories.records import RunRecord
from router_graph.view import View


def view_at(run: RunRecord, number: int) -> View:
    """The view before the run's step of this number (from 1), exactly as the policy had it.

    Raises `KeyError` where the run has no such step.
    """
    steps = [one.step for one in run.steps]
    place = next((n for n, step in enumerate(steps) if step["number"] == number), None)
    if place is None:
        raise KeyError(f"The run {run.run_id} has no step {number}; it has {len(steps)}.")
    decision = steps[place]["decision"]
    return View(
        question=run.question,
        menu=run.menu,
        masked=decision["masked"],
        steps=tuple(steps[:place]),
        left=decision["left"],
        # A policy that failed was asked for anything; the answer was forced by its failure.
        must_answer=None if decision["forced"] == "policy_failed" else decision["forced"],
        images=run.images,
        earlier=run.earlier,
        seed=run.settings.get("seed", 0),
    )
