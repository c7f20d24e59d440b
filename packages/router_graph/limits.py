"""When a turn must end: what is left of its budget, and what no longer may be chosen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from router_graph.actions import Malformed, Route, RouteToKB, RouteToLLM, action_from_dict
from router_graph.budget import PICO, Budget
from router_graph.ledger import Ledger
from router_graph.state import Left, Option, Step, StopReason
from router_graph.view import View

ANSWER_SHARE = 0.2
"""Of the money and the tokens of a turn: what only its answer may use, where a model writes it."""
BEFORE = "before"
"""Among the settings of a fork: `usd` and `tokens` that the run had spent when it was forked."""
MOST_MALFORMED = 3
"""Replies in a row that are no action."""
MOST_REPEATS = 2
"""Sub-queries that were asked before."""
MOST_ROUTES = 16
"""Of one step."""
Essence = tuple[object, ...]
_WORD = re.compile(r"\w+")


def budget_of(settings: Mapping[str, Any], *, keeps_reserve: bool) -> Budget:
    """The budget of a turn; of a fork, without what was spent before it."""
    usd, tokens = settings["usd"], settings["tokens"]
    share = ANSWER_SHARE if keeps_reserve else 0.0
    before = settings.get(BEFORE) or {"usd": 0.0, "tokens": 0}
    return Budget.model_construct(
        usd=None if usd is None else usd - before["usd"],
        tokens=None if tokens is None else tokens - before["tokens"],
        calls=None,
        seconds=None,
        answer_usd=share * (usd or 0.0),
        answer_tokens=int(share * (tokens or 0)),
        answer_calls=0,
    )


def elapsed_s(steps: Sequence[Step]) -> float:
    """How long the steps took: each one's decision, then its slowest route. Waiting for a person is not in it."""
    decided = sum(step["decision"]["seconds"] for step in steps if "decision" in step)
    slowest = (max((one["seconds"] for one in step.get("observations", {}).values()), default=0.0) for step in steps)
    return decided + sum(slowest)


def left_of(settings: Mapping[str, Any], ledger: Ledger, steps: Sequence[Step]) -> Left:
    """What is left for routes; the answer's reserve is not in it."""
    left = ledger.left()
    usd, seconds = left["picousd"], settings["seconds"]
    return Left(
        steps=max(0, settings["max_steps"] - sum(map(_asks, steps))),
        usd=None if usd is None else usd / PICO,
        tokens=left["tokens"],
        seconds=None if seconds is None else max(0.0, seconds - elapsed_s(steps)),
    )


def must_answer(
    settings: Mapping[str, Any], left: Left, steps: Sequence[Step], remaining_steps: int | None
) -> StopReason | None:
    """Why the answer is due, if it is."""
    if left["seconds"] is not None and left["seconds"] <= 0:
        return "seconds"
    if left["usd"] is not None and left["usd"] <= 0:
        return "usd"
    if left["tokens"] is not None and left["tokens"] <= 0:
        return "tokens"
    if _malformed_in_a_row(steps) >= MOST_MALFORMED:
        return "malformed"
    if sum(_is_repetition(step) for step in steps) >= MOST_REPEATS:
        return "repeats"
    # LangGraph counts supersteps too: after this one there must be one for the answer. And a policy that only thinks
    # must end as well.
    is_last = remaining_steps is not None and remaining_steps <= 3
    if left["steps"] == 0 or is_last or len(steps) >= 3 * settings["max_steps"] + 3:
        return "steps"
    return None


def nobody_left(menu: Sequence[Option], masked: Mapping[str, str]) -> StopReason | None:
    """Why the answer is due, where every route is masked."""
    routes = [option["key"] for option in menu if option["key"] != "answer"]
    if any(key not in masked for key in routes):
        return None
    return "usd" if any(masked[key].startswith(TOO_DEAR) for key in routes) else "no_options"


TOO_DEAR = "too dear"
DUE = "the answer is due"


def asked_before(view: View) -> dict[Essence, int]:
    """What was asked so far, and not refused or failed, with the number of the step that asked it first."""
    asked: dict[Essence, int] = {}
    for step, route, observation in view.routes():
        if observation["status"] in ("ok", "empty"):
            asked.setdefault(essence(route), step["number"])
    return asked


def essence(route: Route) -> Essence:
    """Equal for routes that ask the same of the same: letter case and punctuation make no difference."""
    words = tuple(_WORD.findall(route.query.casefold()))
    match route:
        case RouteToKB():
            return route.target, words, route.k, route.linked
        case RouteToLLM():
            return route.target, words, route.evidence


def _asks(step: Step) -> bool:
    return any(one["kind"] in ("kb", "llm") for one in step.get("actions", ()))


def _is_repetition(step: Step) -> bool:
    came_of = {one["status"] for one in step.get("observations", {}).values()}
    return "repeated" in came_of and came_of <= {"repeated", "refused"}


def _malformed_in_a_row(steps: Sequence[Step]) -> int:
    count = 0
    for step in reversed(steps):
        actions = [action_from_dict(data) for data in step.get("actions", ())]
        refused = [one["status"] == "refused" for one in step.get("observations", {}).values()]
        if not all(isinstance(one, Malformed) for one in actions) and not (refused and all(refused)):
            return count
        count += 1
    return count
