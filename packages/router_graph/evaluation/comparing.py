"""Policies side by side: a row each, paired tests, and what chance among the simple ones gives at the same cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from router_graph.evaluation.intervals import Interval, bootstrap, draws, paired_p
from router_graph.evaluation.outcome import Outcome
from router_graph.evaluation.questions import Question
from router_graph.evaluation.scores import COSTS, METRICS, first_needed, scored, stopped

Floats = NDArray[np.float64]
Sort = Literal["policy", "simple", "control", "bound"]
"""One that is offered; one of the simple ones that it has to beat; an answer that must score near 0; what nobody can
pass, such as an oracle."""


@dataclass(frozen=True)
class Difference:
    """A policy minus another, question by question."""

    value: Interval
    p: float
    """Two-sided, of exchanged signs."""


@dataclass(frozen=True)
class Row:
    """One policy, over all questions and seeds."""

    policy: str
    sort: Sort
    n: int
    """Questions."""
    seeds: tuple[int, ...]
    metrics: Mapping[str, Interval]
    values: Mapping[str, Floats]
    """[n] of each metric, the mean over seeds; NaN where it does not apply."""
    stops: Mapping[str, int]
    """Stop reasons."""
    stopping: Mapping[str, int]
    """In time, too early, too late; empty where nobody says which documents are needed."""
    asked: Mapping[str, int]
    """How often each option was asked."""
    usd: Mapping[str, float]
    """What each option took, and `policy`; all questions together."""
    confusion: Mapping[str, Mapping[str, int]]
    """How often each option was asked first, by the knowledge bases that have to be."""
    per_source: Mapping[str, Mapping[str, float]]
    """Of each knowledge base: recall of the needed documents over its searches, MRR, searches."""
    failures: int
    against: Mapping[str, Difference] = field(default_factory=dict)
    """The headline metric, minus each simple policy."""
    at_equal_cost: Difference | None = None
    """The headline metric, minus the best mixture of simple policies that costs as much; None for a simple one."""

    @property
    def beats_the_simple(self) -> bool | None:
        """Whether it clearly does at equal cost; None where it is not compared."""
        return None if self.at_equal_cost is None else self.at_equal_cost.value.low > 0


def row_of(
    name: str, sort: Sort, questions: Sequence[Question], runs: Mapping[int, Sequence[Outcome]], *, seed: int = 0
) -> Row:
    """A row of the outcomes by seed, each in the order of the questions."""
    tables = [[scored(question, run) for question, run in zip(questions, one, strict=True)] for one in runs.values()]
    values = {}
    for metric in METRICS:
        columns = np.array([[row.get(metric, np.nan) for row in table] for table in tables], dtype=float)
        if not np.isnan(columns).all():
            values[metric] = columns.mean(axis=0)
    flat = [(question, run) for one in runs.values() for question, run in zip(questions, one, strict=True)]
    return Row(
        policy=name,
        sort=sort,
        n=len(questions),
        seeds=tuple(runs),
        metrics={metric: bootstrap(known(column), seed=seed) for metric, column in values.items()},
        values=values,
        stops=dict(Counter(run.stop_reason or "failed" for _, run in flat)),
        stopping=dict(Counter(word for question, run in flat if (word := stopped(question, run)))),
        asked=dict(Counter(one.target for _, run in flat for one in run.asked)),
        usd=_money(flat),
        confusion=_confusion(flat),
        per_source=_per_source(flat),
        failures=sum(bool(run.error) for _, run in flat),
    )


def known(column: Floats) -> Floats:
    """Without the questions that a metric does not apply to."""
    return column[~np.isnan(column)]


def cost_of(rows: Sequence[Row]) -> str:
    """The cost that policies are compared at: the first that is not 0 for all of them."""
    return next((name for name in COSTS if any(row.metrics[name].mean > 0 for row in rows)), COSTS[-1])


def compared(rows: Sequence[Row], metric: str, cost: str, *, simple: Collection[str] = (), seed: int = 0) -> list[Row]:
    """The rows, each with its differences from the simple ones: those of that sort, and those of these names, which
    are compared themselves and still have to be beaten by the others."""
    beaten = [row for row in rows if row.sort == "simple" or (row.sort == "policy" and row.policy in simple)]
    return [_against(row, beaten, metric, cost, seed) for row in rows]


def _against(row: Row, simple: Sequence[Row], metric: str, cost: str, seed: int) -> Row:
    if row.sort not in ("policy", "simple"):
        return row
    others = [one for one in simple if one is not row]
    against = {one.policy: difference(row.values[metric] - one.values[metric], seed=seed) for one in others}
    equal = None
    if row.sort == "policy" and others:
        equal = _at_equal_cost(row, others, metric, cost, seed)
    return Row(**{**vars(row), "against": against, "at_equal_cost": equal})


def difference(values: Floats, *, seed: int = 0) -> Difference:
    """Of a difference by question."""
    applies = known(values)
    return Difference(bootstrap(applies, seed=seed), paired_p(applies, seed=seed))


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The upper hull of (cost, score): what a coin between two of them reaches, from (0, 0) up to the best, since
    asking nobody costs nothing and scores nothing."""
    best: list[tuple[float, float]] = []
    for cost, score in sorted({(0.0, 0.0), *points}, key=lambda point: (point[0], -point[1])):
        if best and score <= best[-1][1]:
            continue
        while len(best) > 1 and _slope(best[-2], best[-1]) <= _slope(best[-1], (cost, score)):
            best.pop()
        if best and best[-1][0] == cost:
            best.pop()
        best.append((cost, score))
    return best


def reached(hull: Sequence[tuple[float, float]], cost: float) -> float:
    """What the hull of `frontier` has at a cost: its best beyond its dearest."""
    return float(np.interp(cost, [one for one, _ in hull], [one for _, one in hull]))


def _at_equal_cost(row: Row, simple: Sequence[Row], metric: str, cost: str, seed: int) -> Difference:
    """Resampled by question, the hull with it.

    The best of several is too good in a sample and more so in its resamples, so that percentiles alone would often call
    a policy worse that is as good; the interval therefore holds their mirror image too (the basic bootstrap: Davison
    and Hinkley, 1997, section 5.2), and p is the greater of the two.
    """
    mine, price = row.values[metric], row.values[cost]
    theirs = np.stack([one.values[metric] for one in simple])
    prices = np.stack([one.values[cost] for one in simple])
    if np.isnan(mine).any():
        keep = ~np.isnan(mine)
        mine, price, theirs, prices = mine[keep], price[keep], theirs[:, keep], prices[:, keep]

    def ahead(score: float, paid: float, scores: Floats, costs: Floats) -> float:
        return score - reached(frontier([*zip(costs.tolist(), scores.tolist(), strict=True)]), paid)

    found = []
    for places in draws(mine.size, seed=seed):
        for one in places:
            found.append(
                ahead(float(mine[one].mean()), float(price[one].mean()), theirs[:, one].mean(1), prices[:, one].mean(1))
            )
    value = ahead(float(mine.mean()), float(price.mean()), theirs.mean(1), prices.mean(1))
    both = np.array([found, 2 * value - np.asarray(found)])
    low, high = np.percentile(both, [2.5, 97.5], axis=1)
    tail = np.minimum(np.mean(both <= 0, axis=1), np.mean(both >= 0, axis=1)).max()  # 1 for the same policy
    return Difference(Interval(value, float(low.min()), float(high.max())), min(1.0, 2 * float(tail) + 1 / len(found)))


def _slope(one: tuple[float, float], other: tuple[float, float]) -> float:
    return (other[1] - one[1]) / (other[0] - one[0]) if other[0] > one[0] else np.inf


def _money(flat: Sequence[tuple[Question, Outcome]]) -> dict[str, float]:
    money: defaultdict[str, float] = defaultdict(float)
    for _, run in flat:
        for one in run.asked:
            money[one.target] += one.usd
        money["policy"] += run.policy_usd
    return {name: amount for name, amount in money.items() if amount}


def _confusion(flat: Sequence[tuple[Question, Outcome]]) -> dict[str, dict[str, int]]:
    table: dict[str, Counter[str]] = {}
    for question, run in flat:
        if question.sources:
            wanted = " + ".join(sorted(question.sources))
            first = min((one.step for one in run.asked), default=0)
            targets = {one.target for one in run.asked if one.step == first}
            table.setdefault(wanted, Counter())[" + ".join(sorted(targets)) or "nobody"] += 1
    return {wanted: dict(counts) for wanted, counts in sorted(table.items())}


def _per_source(flat: Sequence[tuple[Question, Outcome]]) -> dict[str, dict[str, float]]:
    sums: dict[str, defaultdict[str, float]] = {}
    for question, run in flat:
        if not question.gold.documents:
            continue
        for target in {one.target for one in run.asked if one.target.startswith("kb:")}:
            searches = [one for one in run.asked if one.target == target]
            told = sums.setdefault(target, defaultdict(float))
            told["questions"] += 1
            told["searches"] += len(searches)
            told["found"] += len({place for one in searches for place in one.gold}) > 0
            told["reciprocal"] += first_needed(question, [name for one in searches for name in one.documents])
    return {
        target: {
            "questions": told["questions"],
            "searches": told["searches"],
            "found": told["found"] / told["questions"],
            "mrr": told["reciprocal"] / told["questions"],
        }
        for target, told in sorted(sums.items())
    }


def as_json(row: Row) -> dict[str, Any]:
    """The row as `polyroute eval --json` prints it: each metric as mean, low and high."""

    def told(one: Interval) -> dict[str, float]:
        return {"mean": one.mean, "low": one.low, "high": one.high}

    about: dict[str, Any] = {
        "policy": row.policy,
        "sort": row.sort,
        "n": row.n,
        "seeds": list(row.seeds),
        **{name: told(value) for name, value in row.metrics.items()},
        "stop_reasons": dict(row.stops),
        "failures": row.failures,
    }
    if row.stopping:
        about["stopping"] = dict(row.stopping)
    if row.per_source:
        about["knowledge_bases"] = {name: dict(one) for name, one in row.per_source.items()}
    if row.confusion:
        about["confusion"] = {name: dict(one) for name, one in row.confusion.items()}
    about["asked"], about["usd_by"] = dict(row.asked), dict(row.usd)
    if row.against:
        about["against"] = {name: {**told(one.value), "p": one.p} for name, one in row.against.items()}
    if row.at_equal_cost is not None:
        about["at_equal_cost"] = {**told(row.at_equal_cost.value), "p": row.at_equal_cost.p}
        about["beats_the_simple"] = row.beats_the_simple
    return about
