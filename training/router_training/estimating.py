"""Policies by their names, judged on a log: what each would have earned, and whether the candidate is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from router_graph.errors import RouterError
from router_graph.ledger import Ledger
from router_graph.policies.local import PolicyCard
from router_graph.policies.named import policy_named
from router_graph.policies.policy import Means, Policy
from router_graph.policies.scored import ScoredPolicy
from router_graph.pool import portal
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
from router_training.rewards.scoring import RewardRecord

_LOCAL = "local:"


@dataclass(frozen=True, slots=True)
class Estimated:
    """What a log tells."""

    report: Report | CannotTell
    left_out: Mapping[str, int]
    """Runs that were not used, by the reason."""
    unjudged: Mapping[str, str] = field(default_factory=dict)
    """Policies to compare with that this log cannot judge, each with the reason."""


def policies_of(names: Sequence[str], runs: Sequence[RunRecord], *, pool: ModelPool | None = None) -> dict[str, Policy]:
    """The policies of these names, in a graph with the knowledge bases of the log. Raises `RouterError`."""
    keys = dict.fromkeys(option["key"] for run in runs for option in run.menu)
    knowledge = [key.removeprefix("kb:") for key in keys if key.startswith("kb:")]
    return {
        name: _choosing(name.removeprefix(_LOCAL))
        if name.startswith(_LOCAL)
        else policy_named(name, pool=pool, knowledge=knowledge)
        for name in names
    }


def _choosing(folder: str) -> Policy:
    """A local policy that writes no more than its choice: what comes after is not evaluated, and takes the time."""
    from router_training.trainers.environment import quieten

    quieten()
    card = PolicyCard.read(Path(folder).expanduser())
    try:
        from mote_backend import ChatTransformers
    except ImportError as error:
        raise ConfigError("A trained policy needs the extra `mote`: pip install 'polyroute[mote]'.") from error
    model = ChatTransformers(model=str(Path(folder).expanduser()), max_tokens=1, temperature=card.temperature)
    policy = ScoredPolicy.over(model, name=card.name, thinks=card.thinks, temperature=card.temperature, max_tokens=1)
    policy.speaks = card.protocol
    return policy


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
    tick: Callable[[], None] = lambda: None,
) -> Estimated:
    """Of the candidate and of all other policies, on runs that none of them was trained on.

    `protocol` is for policies that speak any. A local policy's model is asked at each step of the log; `tick` is called
    each time. Raises `DataError` and `ConfigError`.
    """
    known = {run.run_id for run in runs}
    rewards = [one for one in scores if one.run_id in known]
    if not rewards:
        raise DataError("None of these runs has a score; score this log first, with polyroute train reward.")
    targets = {
        name: _remembered(_target(policy, policy.speaks or protocol, name), tick) for name, policy in policies.items()
    }
    unjudged: dict[str, str] = {}
    while True:
        try:
            loaded = from_runs(runs, rewards, targets, kinds=kinds, rules=rules)
            break
        except DataError as error:  # one does what the log has never seen done, as asking several at once
            name = next((one for one in targets if str(error).startswith(f"{one} gives ")), candidate)
            if name == candidate:
                raise
            unjudged[name] = str(error)
            del targets[name]
    if isinstance(loaded, CannotTell):
        return Estimated(loaded, {}, unjudged)
    told = report(loaded.logged, candidate, loaded.targets, seed=seed, rules=rules)
    return Estimated(told, loaded.left_out, unjudged)


def _target(policy: Policy, protocol: str, name: str) -> Target:
    spoken = protocol_named(protocol)
    if not name.startswith(_LOCAL):
        return target_of(policy, spoken)

    def scored(view: View) -> Mapping[str, float]:
        # What it would choose, however badly it then words it: only the choice is evaluated.
        act = portal.run(policy.act(view, spoken, Means(ledger=Ledger())))
        if act.probabilities is None:
            raise ConfigError(
                f"The policy {name!r} does not tell how likely its options are; evaluate it by running it."
            )
        return act.probabilities

    return scored


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
