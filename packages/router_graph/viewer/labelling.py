"""Labels that are given in the pages: good, bad, or a better action, which must have been legal at the step."""

from __future__ import annotations

from typing import Any

from router_graph.actions import Answer, action_as_dict
from router_graph.nodes.refusing import not_taken
from router_graph.trajectories.labels import MOST_NOTE, VERDICTS, Label, LabelWriter
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_graph.view import View
from router_graph.viewer.action_json import action_of, as_told
from router_graph.viewer.problems import Problem
from router_graph.viewer.viewer import Viewer


def label(viewer: Viewer, writer: LabelWriter, run: str, step: int, told: dict[str, Any]) -> dict[str, Any]:
    """Write the label down, and give it as the pages show it. Raises `Problem`, `LogError`."""
    view, done = _view(viewer, run, step)
    verdict, note, better = told.get("verdict"), told.get("note", ""), told.get("better")
    if verdict not in VERDICTS:
        raise Problem(400, f"verdict is {', '.join(VERDICTS[:-1])} or {VERDICTS[-1]}, and not {verdict!r:.40}.")
    if not isinstance(note, str) or len(note) > MOST_NOTE:
        raise Problem(400, f"note is a text of at most {MOST_NOTE:,} characters.")
    if (better is not None) != (verdict == "better"):
        raise Problem(400, 'A better action belongs to the verdict "better", and to no other.')
    action = None if better is None else action_of(better, has_evidence=bool(view.evidence))
    if action is not None:
        if isinstance(action, Answer) and not action.text.strip():
            raise Problem(400, "Write what would have been the better answer.")
        if (refused := not_taken(view, [action]).get("0")) is not None:
            raise Problem(400, f"This could not have been done at step {step}: {refused['text']}")
        if action_as_dict(action) in done:
            raise Problem(400, f"This is what was done at step {step}; write what would have been better.")
    kept = None if action is None else action_as_dict(action)
    return _shown(viewer, writer.give(run, step, verdict, better=kept, note=note))


def take_back(viewer: Viewer, writer: LabelWriter, run: str, step: int) -> dict[str, Any]:
    """Take this person's label of the step back. Raises `Problem`, `LogError`."""
    _view(viewer, run, step)
    return _shown(viewer, writer.give(run, step, None))


def _view(viewer: Viewer, run: str, step: int) -> tuple[View, list[dict[str, Any]]]:
    """What could be done at the step, and what was done."""
    record: RunRecord = viewer.read(run)
    found = next((one for one in record.steps if one.number == step), None)
    if found is None or not record.is_ours:
        raise Problem(404, f"The run {run} has no step {step}; it has {len(record.steps)}, counted from 1.")
    return view_at(record, step), found.step.get("actions", [])


def _shown(viewer: Viewer, given: Label) -> dict[str, Any]:
    viewer.index.wake()
    return {**given, "better": None if given["better"] is None else as_told(given["better"])}
