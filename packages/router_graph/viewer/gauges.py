"""The budget of a run as it stood before a step, or at its end: all of it from the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router_graph.limits import BEFORE, elapsed_s
from router_graph.state import Left, Step
from router_graph.trajectories.records import RunRecord

_NOTHING = 1e-12
"""USD below which a difference is one of rounding."""


def gauge_before(run: RunRecord, number: int) -> dict[str, Any]:
    """Before the step of this number decided: `left` is what the policy was told."""
    steps = [one.step for one in run.steps]
    place = next(n for n, one in enumerate(steps) if one["number"] == number)
    return _gauge(run, steps[:place], steps[place]["decision"]["left"])


def gauge_at_end(run: RunRecord) -> dict[str, Any]:
    """After the last step, with what the answer took. Nothing is kept back any more."""
    return _gauge(run, [one.step for one in run.steps], None)


def _gauge(run: RunRecord, steps: Sequence[Step], left: Left | None) -> dict[str, Any]:
    limit, tokens = run.settings.get("usd"), run.settings.get("tokens")
    policy = {name: sum(one["decision"][name] for one in steps) for name in ("usd", "tokens")}
    routes = {name: sum(seen[name] for one in steps for seen in _seen(one)) for name in ("usd", "tokens")}
    spent = {name: policy[name] + routes[name] for name in policy}
    before = run.settings.get(BEFORE) or {"usd": 0.0, "tokens": 0}  # of a fork, whose bill is of what it paid itself
    answer_usd = 0.0
    if left is None:
        billed = {"usd": run.usd + before["usd"], "tokens": run.tokens + before["tokens"]}
        answer_usd = _above_zero(billed["usd"] - spent["usd"])
        spent = {name: max(billed[name], spent[name]) for name in spent}
    kept = _kept(run, limit) if left is not None else 0.0
    left_usd = None if limit is None else _above_zero(limit - spent["usd"])
    reserved = 0.0
    if left is not None and limit is not None and left["usd"] is not None:
        left_usd = left["usd"]
        reserved = _above_zero(limit - spent["usd"] - left_usd - kept)
    return {
        "limit_usd": limit,
        "spent_usd": spent["usd"],
        "routes_usd": routes["usd"],
        "policy_usd": policy["usd"],
        "before_usd": before["usd"],
        "answer_usd": answer_usd,
        "reserved_usd": reserved,
        "answer_reserve_usd": kept,
        "left_usd": left_usd,
        "tokens": {
            "limit": tokens,
            "policy": policy["tokens"],
            "routes": routes["tokens"],
            "left": left.get("tokens") if left is not None else None if tokens is None else tokens - spent["tokens"],
        },
        "steps": {"limit": run.settings.get("max_steps"), "taken": len(steps)},
        "seconds": {"limit": run.settings.get("seconds"), "spent": elapsed_s(steps)},
    }


def _kept(run: RunRecord, limit: float | None) -> float:
    """What only the answer may use: at the first step nothing is spent, so that it is what is missing."""
    if limit is None or not run.steps:
        return 0.0
    left = run.steps[0].step["decision"]["left"]["usd"]
    return 0.0 if left is None or run.steps[0].number != 1 else _above_zero(limit - left)


def _seen(step: Step) -> Sequence[Mapping[str, Any]]:
    return list(step.get("observations", {}).values())


def _above_zero(usd: float) -> float:
    return usd if usd > _NOTHING else 0.0
