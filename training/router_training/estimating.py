"""Policies by their names, judged on a log: what each would have earned, and whether the candidate is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from router_graph.errors import RouterError
from router_graph.policies.named import policy_named
from router_graph.policies.policy import Policy
from router_graph.policies.scored import ScoredPolicy
from router_graph.pool.pool import ModelPool
from router_graph.protocols import protocol_named
from router_graph.trajectories.records import RunRecord
from router_graph.view import View
from router_training.errors import ConfigError, DataError
from router_training.ope.estimate import CannotTell
from router_training.ope.from_runs import Target, from_runs
from router_training.ope.policy_target import target_of
from router_training.ope.report import Report, report
from router_training.ope.rules import DEFAULT, Rules
from router_training.ope.used import Used
from router_training.rewards.scoring import RewardRecord


@dataclass(frozen=True, slots=True)
class Estimated:
    """What a log tells."""

    report: Report | CannotTell
    used: Used | None = None
    """What of the log was used; None where nothing was."""


def policies_of(names: Sequence[str], runs: Sequence[RunRecord], *, pool: ModelPool | None = None) -> dict[str, Policy]:
    """The policies of these names, in a graph with the knowledge bases of the log. Raises `RouterError`."""
    keys = dict.fromkeys(option["key"] for run in runs for option in run.menu)
    knowledge = [key.removeprefix("kb:") for key in keys if key.startswith("kb:")]
    if any(name.startswith("local:") for name in names):
        from router_training.trainers.environment import quieten

        quieten()
    return {name: policy_named(name, pool=pool, knowledge=knowledge) for name in names}


def estimated(
    runs: Sequence[RunRecord],
    scores: Sequence[RewardRecord],
    candidate: str,
    policies: Mapping[str, Policy],
    *,
    protocol: str = "tags",
    kinds: Sequence[str] = (),
    seed: int = 0,
    rules: Rules = DEFAULT,
    worth: float | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Estimated:
    """Of the candidate and of all other policies, on runs that none of them was trained on.

    `protocol` is for policies that speak any. A local policy's model is asked at each step of the log; `tick` is called
    each time. `worth`: `promotion`. Raises `DataError` and `ConfigError`.
    """
    known = {run.run_id for run in runs}
    rewards = [one for one in scores if one.run_id in known]
    if not rewards:
        raise DataError("None of these runs has a score; score this log first, with polyroute train reward.")
    targets = {}
    for name, policy in policies.items():
        spoken = protocol_named(policy.speaks or protocol)
        targets[name] = _remembered(target_of(policy, spoken, ask=isinstance(policy, ScoredPolicy)), tick)
    loaded = from_runs(runs, rewards, targets, kinds=kinds, rules=rules)
    if isinstance(loaded, CannotTell):
        return Estimated(loaded)
    told = report(loaded.logged, candidate, loaded.targets, seed=seed, rules=rules, worth=worth)
    return Estimated(told, loaded.used)


def _remembered(target: Target, tick: Callable[[], None]) -> Target:
    known: dict[str, Mapping[str, float]] = {}

    def remembered(view: View) -> Mapping[str, float]:
        state = (view.question, view.seed, view.menu, view.masked, view.left, [step["id"] for step in view.steps])
        if (key := repr(state)) not in known:
            tick()
            known[key] = target(view)
        return known[key]

    return remembered


def opened_pool(path: Path | None) -> ModelPool | None:
    """The pool of a file, if one is given. Raises `ConfigError`."""
    if path is None:
        return None
    from router_graph.pool.pool_file import load_pool

    try:
        return load_pool(path)
    except RouterError as error:
        raise ConfigError(str(error)) from None
