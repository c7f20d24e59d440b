"""What a log holds, counted in one pass: runs, costs, who decided what, and how well each option is supported."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from router_graph.actions import action_from_dict
from router_graph.trajectories.records import RunRecord, StepRecord


@dataclass(slots=True)
class OptionFacts:
    """How often an option could be chosen, and was. An estimate for a policy that prefers it needs both."""

    offered: int = 0
    """Steps at which it was legal."""
    chosen: int = 0
    scored: int = 0
    """Steps at which it was legal, and its probability is in the log."""
    probability: float = 0.0
    """The sum of those."""
    least: float | None = None
    """The smallest of those."""

    @property
    def mean_probability(self) -> float | None:
        """None where no probability is known."""
        return self.probability / self.scored if self.scored else None


@dataclass(slots=True)
class PolicyFacts:
    """The steps that one version of a policy decided."""

    steps: int = 0
    targets: Counter[str] = field(default_factory=Counter)
    """Of its actions."""
    with_propensity: int = 0
    with_chance: int = 0
    """Of those, the propensity is less than 1: there was something to choose."""
    with_probabilities: int = 0
    with_tokens: int = 0
    with_logprobs: int = 0
    malformed: int = 0
    """Steps with something that is no action."""


@dataclass(slots=True)
class LogFacts:
    """Of all runs of a log."""

    runs: int = 0
    foreign: int = 0
    """Of graphs of another make."""
    steps: int = 0
    calls: int = 0
    """Of models, the policy's among them."""
    questions: set[int] = field(default_factory=set)
    """The hashes of their ids."""
    statuses: Counter[str] = field(default_factory=Counter)
    stop_reasons: Counter[str] = field(default_factory=Counter)
    observations: Counter[str] = field(default_factory=Counter)
    """By what came of the route."""
    usd: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    first_at: float | None = None
    last_at: float | None = None
    policies: defaultdict[tuple[str, str, str], PolicyFacts] = field(default_factory=lambda: defaultdict(PolicyFacts))
    """By name, version and protocol."""
    options: defaultdict[str, OptionFacts] = field(default_factory=lambda: defaultdict(OptionFacts))

    def add(self, run: RunRecord) -> None:
        """Count a run."""
        self.runs += 1
        self.foreign += not run.is_ours
        self.steps += len(run.steps)
        self.calls += len(run.calls) + sum(one.call is not None for one in run.steps)
        self.questions.add(hash(run.question_id))
        self.statuses[run.status] += 1
        if run.stop_reason is not None:
            self.stop_reasons[run.stop_reason] += 1
        self.usd += run.usd
        self.tokens += run.tokens
        self.seconds += run.seconds or 0.0
        self.first_at = run.at if self.first_at is None else min(self.first_at, run.at)
        self.last_at = run.at if self.last_at is None else max(self.last_at, run.at)
        keys = [option["key"] for option in run.menu]
        for one in run.steps:
            self._step(one, keys)

    def _step(self, record: StepRecord, keys: list[str]) -> None:
        decision = record.step["decision"]
        about = self.policies[decision["policy"], decision["version"], decision["protocol"]]
        targets = [action_from_dict(one).target for one in record.step.get("actions", ())]
        propensity, chances = decision["propensity"], decision["probabilities"]
        tokens = record.call["tokens"] if record.call is not None else None
        about.steps += 1
        about.targets.update(targets)
        about.with_propensity += propensity is not None
        about.with_chance += propensity is not None and propensity < 1
        about.with_probabilities += chances is not None
        about.with_tokens += tokens is not None
        about.with_logprobs += tokens is not None and tokens["logprobs"] is not None
        about.malformed += "malformed" in targets
        for observation in record.step.get("observations", {}).values():
            self.observations[observation["status"]] += 1
        for key in keys:
            if key in decision["masked"] or (decision["forced"] is not None and key != "answer"):
                continue
            option = self.options[key]
            option.offered += 1
            option.chosen += key in targets
            if chances is not None and (chance := chances.get(key)) is not None:
                option.scored += 1
                option.probability += chance
                option.least = chance if option.least is None else min(option.least, chance)


def facts_of(runs: Iterable[RunRecord]) -> LogFacts:
    """Count them."""
    facts = LogFacts()
    for run in runs:
        facts.add(run)
    return facts


def as_plain(facts: LogFacts) -> dict[str, Any]:
    """The facts as JSON knows them."""
    return {
        "runs": facts.runs,
        "foreign": facts.foreign,
        "questions": len(facts.questions),
        "steps": facts.steps,
        "calls": facts.calls,
        "first_at": facts.first_at,
        "last_at": facts.last_at,
        "usd": facts.usd,
        "tokens": facts.tokens,
        "seconds": facts.seconds,
        "statuses": dict(facts.statuses.most_common()),
        "stop_reasons": dict(facts.stop_reasons.most_common()),
        "observations": dict(facts.observations.most_common()),
        "policies": [
            {
                "policy": name,
                "version": version,
                "protocol": protocol,
                "steps": one.steps,
                "actions": dict(one.targets.most_common()),
                "with_propensity": one.with_propensity,
                "with_chance": one.with_chance,
                "with_probabilities": one.with_probabilities,
                "with_tokens": one.with_tokens,
                "with_logprobs": one.with_logprobs,
                "malformed": one.malformed,
            }
            for (name, version, protocol), one in sorted(facts.policies.items())
        ],
        "options": {
            key: {
                "offered": one.offered,
                "chosen": one.chosen,
                "mean_probability": one.mean_probability,
                "least_probability": one.least,
            }
            for key, one in sorted(facts.options.items())
        },
    }
