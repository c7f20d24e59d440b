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
from router_training.ope.bandit import Logged
from router_training.ope.estimate import METHOD, CannotTell, Estimate, by_group, evaluate
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
    """US dollars per run; empty where the log has no costs."""
    logged: Interval
    groups: tuple[Group, ...]
    promotion: Promotion
    rules: Rules
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values; what is infinite is None."""
        plain: dict[str, Any] = {
            "method": METHOD,
            "level": LEVEL,
            "seed": self.seed,
            "candidate": self.candidate,
            "promotion": {"sentence": str(self.promotion), **asdict(self.promotion)},
            "logged": asdict(self.logged),
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

    def to_text(self) -> str:
        """A table for a terminal. Names come from logs: nothing in them can steer it."""
        rows = [("policy", "reward per run", "gain over the log", "SNIPS", "ESS", "USD per run")]
        rows.append(("(the log itself)", str(self.logged), "", "", "", ""))
        for name, one in self.policies.items():
            cost = self.costs.get(name)
            usd = f"{cost.value:.5f}" if isinstance(cost, Interval) else ""
            rows.append((one_line(name), *_cells(one), usd))
        lines = [*_table(rows)]
        lines += [f"  {one_line(name)}: {one_line(str(one))}." for name, one in self.policies.items() if _untold(one)]
        if self.groups:
            lines += ["", f"{one_line(self.candidate)} by subgroup:"]
            head = ("subgroup", "reward per run", "gain over the log", "SNIPS", "ESS", "runs")
            lines += _table(
                [
                    head,
                    *((one_line(f"{g.kind}: {g.name}"), *_cells(g.estimate), _runs(g.estimate)) for g in self.groups),
                ]
            )
            for harmed in (one for one in self.groups if one.is_harmed):
                lines.append(f"  Worse than the log for {one_line(f'{harmed.kind}: {harmed.name}')}.")
        support = self.policies[self.candidate].support
        if support is not None:
            lines += ["", f"Support of {one_line(self.candidate)}:"]
            lines += _table(
                [
                    ("action", "logged", "wanted", "impossible", "largest weight"),
                    *(
                        (one_line(a.name), f"{a.logged}", f"{a.wanted:.3f}", f"{a.unsupported:.3f}", f"{a.largest:.1f}")
                        for a in support.actions
                    ),
                ]
            )
            size = f"{support.questions} questions, {support.episodes} runs, {support.steps} steps"
            lines += ["", f"{size}; {100 * LEVEL:.0f}% intervals; {METHOD}; seed {self.seed}."]
        lines.append("Only the choice of route is evaluated, with the queries as they were logged.")
        lines.append(one_line(f"=> {self.promotion}."))
        return "\n".join(lines) + "\n"


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
    costs: dict[str, Interval | CannotTell] = {}
    if logged.cost is not None:
        spent = logged.with_reward(logged.cost)
        for name in order:
            one = evaluate(spent, targets[name], seed=seed, rules=rules)
            costs[name] = one.value if isinstance(one, Estimate) else one
    return Report(
        candidate=candidate,
        policies={name: evaluate(logged, targets[name], seed=seed, rules=rules) for name in order},
        costs=costs,
        logged=interval(on_policy(logged), seed=seed),
        groups=tuple(
            Group(kind, name, one)
            for kind in shown
            for name, one in by_group(logged, targets[candidate], kind, seed=seed, rules=rules).items()
        ),
        promotion=promotion(logged, targets[candidate], simple, seed=seed, rules=rules, worth=worth),
        rules=rules,
        seed=seed,
    )


def _told(one: Estimate | CannotTell | Interval) -> dict[str, Any]:
    return {**({"cannot_tell": one.rule} if isinstance(one, CannotTell) else {}), **asdict(one)}


def _untold(one: Estimate | CannotTell) -> bool:
    return isinstance(one, CannotTell)


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
