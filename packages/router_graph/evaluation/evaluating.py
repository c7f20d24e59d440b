"""A suite from end to end: learn what can be learned, ask all policies all questions, compare."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from router_graph.errors import EvaluationError, RouterError
from router_graph.evaluation import routed, runner
from router_graph.evaluation.ablations import ABLATIONS, ablated
from router_graph.evaluation.comparing import Row, Sort, compared, cost_of, row_of
from router_graph.evaluation.controls import CONTROLS
from router_graph.evaluation.outcome import Outcome
from router_graph.evaluation.published import Published
from router_graph.evaluation.questions import fingerprint, gold_mark
from router_graph.evaluation.readers.graded import Graded
from router_graph.evaluation.scores import DECIDING, METRICS
from router_graph.evaluation.suites.suite import Suite
from router_graph.graph import create_router

_CONTROL_MOST = 0.1
"""What a control may score on the metric that decides before the metric is to be doubted."""
LEARNED = ("handbook", "knn")
"""The simple policies that a suite learns itself."""
_VERSIONS = ("polyroute", "langgraph", "chromadb", "litellm")


@dataclass(frozen=True)
class Evaluation:
    """All that a report says."""

    name: str
    title: str
    rows: Sequence[Row]
    metric: str
    cost: str
    about: Mapping[str, Any]
    """Command, versions, seeds."""
    notes: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the figures depend on: fingerprints, counts."""
    published: Sequence[Published] = ()


@dataclass(frozen=True)
class Plan:
    """What is wanted of a suite."""

    policies: Sequence[str] = ()
    """By name; those of the suite where there is none."""
    simple: bool = True
    """With the simple ones, to be beaten."""
    controls: bool = True
    metric: str | None = None
    seeds: Sequence[int] = (0,)
    at_once: int = 4
    context: Mapping[str, Any] | None = None
    """More of each turn: budgets, exclusions."""
    ablation: str | None = None
    """One of `ABLATIONS`."""


def evaluate(
    suite: Suite,
    plan: Plan,
    folder: Path,
    *,
    command: str = "",
    begin: Callable[[str, int], Callable[[], None]] = lambda name, total: lambda: None,
) -> Evaluation:
    """Ask, and compare. What is in the folder already is not asked again; `begin` is told each policy and how many
    questions it is asked, and what it gives is called after each.

    Raises `EvaluationError` and other `RouterError`s before anything is asked.
    """
    metric = plan.metric or suite.headline
    if metric not in METRICS:
        raise EvaluationError(f"There is no metric {metric!r}; there is {', '.join(DECIDING)}.")
    if metric not in DECIDING:
        raise EvaluationError(f"{metric!r} does not say how good a policy is; let one of {', '.join(DECIDING)} decide.")
    suite.resources.settings({key: value for key, value in (plan.context or {}).items() if key in ("only", "exclude")})
    setup = {
        **suite.facts,
        "gold": gold_mark(suite.questions),
        "suite": suite.name,
        "context": dict(plan.context or {}),
        "ablation": plan.ablation,
    }
    notes = list(suite.notes)
    if plan.ablation is not None:
        notes.append(f"Ablation {plan.ablation}: {ABLATIONS.get(plan.ablation, '')}.")
    with runner.Kept(folder, setup) as kept:
        tasks = _tasks(suite, plan, folder)
        outcomes: dict[str, dict[int, list[Outcome]]] = {}
        for name, _, seeded in tasks:
            for task in seeded:
                tick = begin(name if len(seeded) == 1 else f"{name}, seed {task.seed}", len(suite.questions))
                asked = runner.run(task, suite.questions, kept, at_once=plan.at_once, tick=tick)
                outcomes.setdefault(name, {})[task.seed] = asyncio.run(asked)
    rows = [row_of(name, sort, suite.questions, outcomes[name]) for name, sort, _ in tasks]
    if suite.extra is not None:
        first = {name: next(iter(seeded.values())) for name, seeded in outcomes.items()}
        rows += [row_of(name, sort, suite.questions, {0: runs}) for name, (sort, runs) in suite.extra(first).items()]
    if missing := [row.policy for row in rows if metric not in row.values]:
        raise EvaluationError(f"{metric!r} does not apply to {missing[0]!r}; take another with --metric.")
    for row in rows:
        if row.sort == "control" and row.metrics[metric].mean > _CONTROL_MOST:
            notes.append(f"{metric} rewards what knows nothing: {row.policy!r} has {row.metrics[metric].mean:.1%}.")
    cost = suite.cost or cost_of(rows)
    told = {**about(command), "seeds": list(plan.seeds), "side_by_side": plan.at_once}
    beaten = frozenset(suite.simple) if plan.simple else frozenset()
    rows = compared(rows, metric, cost, simple=beaten)
    return Evaluation(suite.name, suite.title, rows, metric, cost, told, notes, suite.facts, suite.published)


def evaluate_table(name: str, table: Graded, *, seed: int = 0, command: str = "") -> Evaluation:
    """The simple routers over recorded scores; nothing is asked."""
    notes = ["Scores are those of the benchmark's own graders; nothing of the graph runs here."]
    if table.left_out:
        notes.append(f"{table.left_out:,} questions were left out: not all models have a score and a cost for them.")
    told = {**about(command), "seeds": [seed], "side_by_side": 1}
    title = f"{name}: {len(table.models)} models, {len(table.questions):,} questions"
    facts = {"questions": fingerprint(table.questions), "models": list(table.models)}
    return Evaluation(name, title, routed.rows(table, seed=seed), "score", "usd", told, notes, facts)


def _tasks(suite: Suite, plan: Plan, folder: Path) -> list[tuple[str, Sort, list[runner.Task]]]:
    named: dict[str, tuple[Sort, str]] = {}
    simple: dict[str, str] = {}
    wanted = plan.policies or suite.policies
    learned = LEARNED if plan.simple and suite.learn is not None else ()
    for place, name in enumerate(wanted):
        if name in wanted[:place]:
            raise EvaluationError(f"The policy {name!r} is named twice; each is compared with the others.")
        if name not in learned:
            suite.resources.policy(name)  # before anything is asked to learn from
    if plan.simple:
        simple = {name: name for name in suite.simple}
        if suite.learn is not None:
            simple |= suite.learn(suite.resources, folder)
    for name in wanted:
        named[name] = ("policy", simple.pop(name, name))
    named |= {name: ("simple", spec) for name, spec in simple.items()}
    if plan.controls:
        named |= {kind.name: ("control", kind.name) for kind in CONTROLS if kind.name not in named}
    resources = suite.resources if plan.ablation is None else ablated(suite.resources, plan.ablation)
    graph = create_router(resources)
    rates = _rates(suite)
    tasks: list[tuple[str, Sort, list[runner.Task]]] = []

    for name, (sort, spec) in named.items():
        policy = resources.policy(spec)
        runner.check_unseen(policy, name, suite.questions)
        context = {**(plan.context or {}), "policy": spec}
        seeds = plan.seeds[:1] if sort == "control" else plan.seeds
        seeded = [runner.Task(name, graph, {**context, "seed": one}, policy.version, one, rates) for one in seeds]
        tasks.append((name, sort, seeded))
    return tasks


def _rates(suite: Suite) -> dict[str, float]:
    """USD per million completion tokens of the pool's models, where one rate holds."""
    pool = suite.resources.pool
    if pool is None:
        return {}
    rates = {}
    for name, card in pool.cards.items():
        try:
            rates[name] = float(card.payable.output)
        except RouterError:
            continue
    return rates


def about(command: str) -> dict[str, Any]:
    """What a figure depends on besides its data: the command and the versions."""
    return {
        "command": command,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _VERSIONS},
    }
