"""The budget of a run as it stood before a step, or at its end: all of it from the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from router_graph.limits import BEFORE, elapsed_s
from router_graph.state import Left, Step
from router_graph.trajectories.records import RunRecord

_NOTHING = 1e-12
"""USD below which a difference is one of rounding."""


def gauges_before(run: RunRecord) -> list[dict[str, Any]]:
    """Of each step, as it stood before the step decided: `left` is what the policy was told."""
    spent, gauges = _Spent(), []
    for one in run.steps:
        gauges.append(_gauge(run, spent, one.step["decision"]["left"]))
        spent = spent.with_step(one.step)
    return gauges


def gauge_at_end(run: RunRecord) -> dict[str, Any]:
    """After the last step, with what the answer took. Nothing is kept back any more."""
    spent = _Spent()
    for one in run.steps:
        spent = spent.with_step(one.step)
    return _gauge(run, spent, None)


@dataclass(frozen=True, slots=True)
class _Spent:
    """What steps took, summed up as one goes along: a run may have a thousand."""

    steps: int = 0
    policy_usd: float = 0
    policy_tokens: int = 0
    routes_usd: float = 0
    routes_tokens: int = 0
    seconds: float = 0.0

    def with_step(self, step: Step) -> _Spent:
        decision, seen = step["decision"], list(step.get("observations", {}).values())
        return _Spent(
            self.steps + 1,
            self.policy_usd + decision["usd"],
            self.policy_tokens + decision["tokens"],
            self.routes_usd + sum(one["usd"] for one in seen),
            self.routes_tokens + sum(one["tokens"] for one in seen),
            self.seconds + elapsed_s([step]),
        )


def _gauge(run: RunRecord, so_far: _Spent, left: Left | None) -> dict[str, Any]:
    limit, tokens = run.settings.get("usd"), run.settings.get("tokens")
    policy = {"usd": so_far.policy_usd, "tokens": so_far.policy_tokens}
    routes = {"usd": so_far.routes_usd, "tokens": so_far.routes_tokens}
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
        "steps": {"limit": run.settings.get("max_steps"), "taken": so_far.steps},
        "seconds": {"limit": run.settings.get("seconds"), "spent": so_far.seconds},
    }


def _kept(run: RunRecord, limit: float | None) -> float:
    """What only the answer may use: at the first step nothing is spent, so that it is what is missing."""
    if limit is None or not run.steps:
        return 0.0
    left = run.steps[0].step["decision"]["left"]["usd"]
    return 0.0 if left is None or run.steps[0].number != 1 else _above_zero(limit - left)


def _above_zero(usd: float) -> float:
    return usd if usd > _NOTHING else 0.0
