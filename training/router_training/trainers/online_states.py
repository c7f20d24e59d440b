"""Recorded states that a policy is asked in again, to sample what it would do now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mote_backend.chat.messages import plain_messages
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_training.credit.states import state_key
from router_training.data.rendering import Rendering
from router_training.data.samples import Left
from router_training.errors import DataError


@dataclass(frozen=True, slots=True)
class State:
    """The state before a step of a recorded run."""

    run: RunRecord
    number: int
    messages: list[dict[str, Any]]
    """As the policy reads it, for a chat template."""


def states_of(
    runs: Iterable[RunRecord], rendering: Rendering, *, most_tokens: int | None = None, left: Left | None = None
) -> list[State]:
    """Each different state in which there was a choice. What is left out is counted in `left`.

    TRL renders prompts by the chat template itself; a state that it would render in other tokens than the graph is left
    out. Raises `DataError` where no state is left.
    """
    left, seen = left or Left(), set[object]()
    found: list[State] = []
    for run in runs:
        for record in run.steps:
            view = view_at(run, record.number)
            key = run.question_id, state_key(view)
            messages = plain_messages(rendering.protocol.messages(view))
            if len(view.legal) < 2:
                left.counts["states without a choice"] += 1
            elif key in seen:
                left.counts["states that were seen before"] += 1
            elif most_tokens is not None and len(rendering.prompt(view)) > most_tokens:
                left.counts[f"states longer than {most_tokens:,} tokens"] += 1
            elif not _is_alike(rendering, view, messages):
                left.counts["states that the chat template renders in other tokens"] += 1
            else:
                seen.add(key)
                found.append(State(run, record.number, messages))
    if not found:
        raise DataError(f"There is no state to sample from ({left} left out); record runs that have a choice.")
    return found


def check_prompts(found: Sequence[State], rendering: Rendering, longest_reply: int, context: int | None) -> None:
    """Raise `DataError` where the model does not take a state and a reply to it, both in tokens, with how many."""
    if context is None:
        return
    lengths = [len(rendering.prompt(view_at(one.run, one.number))) for one in found]
    if long := [one for one in lengths if one + longest_reply > context]:
        raise DataError(
            f"{len(long):,} of {len(found):,} states leave no room for a reply of {longest_reply:,} tokens in the "
            f"{context:,} that the model takes (the longest has {max(long):,}); set most_tokens to leave them out, or "
            "longest_reply to less."
        )


def _is_alike(rendering: Rendering, view: Any, messages: Sequence[dict[str, Any]]) -> bool:
    told = rendering.tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, tokenize=True, return_dict=True
    )
    return list(told["input_ids"]) == rendering.prompt(view)
