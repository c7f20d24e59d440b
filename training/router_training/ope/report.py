"""An evaluation with everything that is said about it: policies, costs, subgroups and the gate; as text and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import ArrayLike

from kb_tools.terminal import one_line
from router_training.errors import ConfigError
from router_training.ope.bandit import Logged, check_target
from router_training.ope.estimate import ESTIMAND, METHOD, CannotTell, Estimate, by_group, evaluate, pseudo_values
from router_training.ope.estimators import on_policy
from router_training.ope.intervals import LEVEL, Interval, interval
from router_training.ope.promotion import Promotion, promotion
from router_training.ope.rules import DEFAULT, Rules


@dataclass(frozen=True)
class Group:
    """A subgroup: what the candidate earns there, and how much more than the policy that made the log."""

    kind: str
    name: str
    estimate: Estimate | CannotTell

    @property
    def is_harmed(self) -> bool:
        """Whether the candidate is clearly worse there than what was logged."""
        return isinstance(self.estimate, Estimate) and self.estimate.gain.high < 0


@dataclass(frozen=True)
class Report:
    """Of one log. All numbers are estimates from a log: run the candidate on a held-out set as well."""

    candidate: str
    policies: Mapping[str, Estimate | CannotTell]
    """The candidate first."""
    costs: Mapping[str, Interval | CannotTell]
    """US dollars per run that the sources take; empty where the log has no costs."""
    logged: Interval
    logged_cost: Interval | None
    groups: tuple[Group, ...]
    promotion: Promotion
    rules: Rules
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values; what is infinite is None."""
        plain: dict[str, Any] = {
            "estimand": ESTIMAND,
            "method": METHOD,
            "level": LEVEL,
            "seed": self.seed,
            "candidate": self.candidate,
            "promotion": {"sentence": str(self.promotion), **asdict(self.promotion)},
            "logged": asdict(self.logged),
            "logged_cost": None if self.logged_cost is None else asdict(self.logged_cost),
            "policies": {name: _told(one) for name, one in self.policies.items()},
            "costs": {name: _told(one) for name, one in self.costs.items()},
            "groups": [
                {"kind": one.kind, "name": one.name, "harmed": one.is_harmed, **_told(one.estimate)}
                for one in self.groups
            ],
            "rules": asdict(self.rules),
        }
        finite: dict[str, Any] = _finite(plain)
        return finite

    def to_json(self) -> str:
        """ASCII, so that no terminal can be harmed by it."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def to_text(self, *, gate: bool = True) -> str:
        """A table for a terminal, and what the gate says unless `gate` is off or there is nothing to compare with.
        Names come from logs: nothing in them can steer it."""
        rows = [("policy", "reward per run", "gain over the log", "SNIPS", "ESS", "USD per run")]
        rows.append(("(the log itself)", str(self.logged), "", "", "", _usd(self.logged_cost)))
        for name, one in self.policies.items():
            rows.append((one_line(name), *_cells(one), _usd(self.costs.get(name))))
        lines = [ESTIMAND, "", *_table(rows)]
        untold = {name: one for name, one in self.policies.items() if isinstance(one, CannotTell)}
        lines += [f"  {one_line(name)}: {one_line(str(one))}." for name, one in untold.items()]
        if len(untold) < len(self.policies):
            lines.append(
                "  SNIPS: the same without a model of rewards, as a second opinion. ESS: the share of the runs that "
                "the log counts as for this policy."
            )
        lines += self._subgroups()
        support = self.policies[self.candidate].support
        if support is not None:
            lines += ["", f"What {one_line(self.candidate)} chooses at the steps of the log:"]
            lines += _table(
                [
                    ("action", "steps that took it", "wanted", "never possible", "largest weight"),
                    *(
                        (
                            one_line(a.name),
                            f"{a.logged}",
                            f"{100 * a.wanted:.1f}%",
                            f"{100 * a.unsupported:.1f}%",
                            f"{a.largest:.1f}",
                        )
                        for a in support.actions
                    ),
                ]
            )
            size = f"{support.questions} questions, {support.episodes} runs, {support.steps} steps"
            lines += ["", f"{size}; {100 * LEVEL:.0f}% intervals; {METHOD}; seed {self.seed}."]
        if gate and len(self.policies) > 1:
            lines.append(one_line(f"=> {self.promotion}."))
        return "\n".join(lines) + "\n"

    def _subgroups(self) -> list[str]:
        if not self.groups:
            return []
        head = ("subgroup", "reward per run", "gain over the log", "SNIPS", "ESS", "runs")
        rows = [
            (one_line(f"{one.kind}: {one.name}"), *_cells(one.estimate), _runs(one.estimate)) for one in self.groups
        ]
        harmed = [one_line(f"{one.kind}: {one.name}") for one in self.groups if one.is_harmed]
        return [
            "",
            f"{one_line(self.candidate)} by subgroup:",
            *_table([head, *rows]),
            *(f"  Worse than the log for {name}." for name in harmed),
        ]


def report(
    logged: Logged,
    candidate: str,
    targets: Mapping[str, ArrayLike],
    *,
    seed: int = 0,
    rules: Rules = DEFAULT,
    kinds: Sequence[str] | None = None,
    worth: float | None = None,
) -> Report:
    """Evaluate the candidate and, as the policies without weights, all other targets.

    `kinds` are the log's subgroups to show; all, if None. `worth`: see `gate`. Raises `ConfigError` where there is no
    such target or kind.
    """
    if candidate not in targets:
        raise ConfigError(f"There is no target {candidate!r}; there is {', '.join(targets) or 'none'}.")
    shown = tuple(logged.kinds if kinds is None else kinds)
    if missing := [kind for kind in shown if kind not in logged.kinds]:
        raise ConfigError(f"The log has no subgroups {missing[0]!r}; it has {', '.join(logged.kinds) or 'none'}.")
    order = [candidate, *(name for name in targets if name != candidate)]
    simple = {name: targets[name] for name in order[1:]}
    policies = {name: evaluate(logged, targets[name], seed=seed, rules=rules) for name in order}
    spent = None if logged.cost is None else logged.with_reward(logged.cost)
    return Report(
        candidate=candidate,
        policies=policies,
        costs={} if spent is None else {name: _cost(spent, targets[name], one, seed) for name, one in policies.items()},
        logged=interval(on_policy(logged), seed=seed),
        logged_cost=None if spent is None else interval(on_policy(spent), seed=seed),
        groups=tuple(
            Group(kind, name, one)
            for kind in shown
            for name, one in by_group(logged, targets[candidate], kind, seed=seed, rules=rules).items()
        ),
        promotion=promotion(logged, targets[candidate], simple, seed=seed, rules=rules, worth=worth),
        rules=rules,
        seed=seed,
    )


def _cost(spent: Logged, target: ArrayLike, told: Estimate | CannotTell, seed: int) -> Interval | CannotTell:
    if isinstance(told, CannotTell):
        return told
    return interval(
        pseudo_values(spent, check_target(spent, target), seed=seed), seed=seed, effective=told.support.effective
    )


def _told(one: Estimate | CannotTell | Interval) -> dict[str, Any]:
    return {**({"cannot_tell": one.rule} if isinstance(one, CannotTell) else {}), **asdict(one)}


def _usd(cost: Interval | CannotTell | None) -> str:
    return f"{cost.value:.5f}" if isinstance(cost, Interval) else ""


def _cells(one: Estimate | CannotTell) -> tuple[str, str, str, str]:
    ess = "" if one.support is None else f"{100 * one.support.ess:.0f}%"
    if isinstance(one, CannotTell):
        return f"cannot tell ({one.rule})", "", "", ess
    gain = f"{one.gain.value:+.3f} [{one.gain.low:+.3f}, {one.gain.high:+.3f}]"
    return str(one.value), gain, f"{one.snips.value:.3f}", ess


def _runs(one: Estimate | CannotTell) -> str:
    return "" if one.support is None else str(one.support.episodes)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
