"""The rows as a table: in Markdown for people who read, and the words that say what beats what."""

from __future__ import annotations

import re
from collections.abc import Sequence

from router_graph.evaluation.comparing import Row
from router_graph.evaluation.published import Published

SHOWN = (
    "score", "em", "f1", "contains", "f1_recall", "coverage", "documents", "gold_recall", "gold_mrr",
    "routing_accuracy", "routing_set", "stop_quality", "retrievals", "calls", "tokens", "usd", "cost_units",
    "latency_s",
)  # fmt: skip
_SHARES = frozenset(
    "score em f1 contains f1_recall coverage gold_recall gold_mrr routing_accuracy routing_set stop_quality".split()
)
HEADINGS = {
    "em": "EM", "f1": "F1", "f1_recall": "F1-Recall (R1-Router)", "coverage": "answer in evidence",
    "gold_recall": "gold recall", "gold_mrr": "gold MRR", "routing_accuracy": "routing", "routing_set": "routing, set",
    "stop_quality": "stop", "retrievals": "searches", "usd": "USD", "cost_units": "units", "latency_s": "s",
}  # fmt: skip
_BEATEN = "†"
"""Marks a policy that is not shown to beat the simple ones at equal cost."""


def columns_of(rows: Sequence[Row]) -> list[str]:
    """The metrics that say something: those that are not 0 for all."""
    there = [name for name in SHOWN if any(name in row.metrics for row in rows)]
    return [name for name in there if any(name in row.metrics and row.metrics[name].mean > 0 for row in rows)]


def cell(row: Row, metric: str, *, interval: bool = True) -> str:
    """A mean, of shares in percent and with the interval; empty where the metric does not apply."""
    if metric not in row.metrics:
        return ""
    one = row.metrics[metric]
    if metric in _SHARES:
        mean = f"{100 * one.mean:.1f}"
        return f"{mean} [{100 * one.low:.1f}, {100 * one.high:.1f}]" if interval else mean
    if metric == "usd":
        return f"{one.mean:.6f}"
    return f"{one.mean:.1f}" if metric in ("cost_units", "tokens", "documents") else f"{one.mean:.2f}"


def label(row: Row) -> str:
    """The name, with what it is where it is not simply a policy."""
    about = {"simple": "", "policy": "", "control": " (control)", "bound": " (bound)"}[row.sort]
    return f"{row.policy}{about}{f' {_BEATEN}' if row.beats_the_simple is False else ''}"


def chance(p: float) -> str:
    """A p value as it is written."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def verdict(row: Row, metric: str, cost: str) -> str | None:
    """Whether it earns its price, in a sentence; None for a row that is not compared."""
    equal = row.at_equal_cost
    if equal is None:
        return None
    value, name = equal.value, HEADINGS.get(metric, metric)
    how = "beats" if value.low > 0 else "is worse than" if value.high < 0 else "is not shown to beat"
    return (
        f"{row.policy} {how} the simple policies at equal cost ({HEADINGS.get(cost, cost)}): {name} "
        f"{100 * value.mean:+.1f} points [{100 * value.low:+.1f}, {100 * value.high:+.1f}], {chance(equal.p)}."
    )


def markdown(rows: Sequence[Row], metric: str, cost: str, *, published: Sequence[Published] = ()) -> str:
    """The table, the paired tests and the verdicts."""
    names = columns_of(rows)
    lines = [
        f"| policy | {' | '.join(HEADINGS.get(name, name) for name in names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    lines += [f"| {_escaped(label(row))} | {' | '.join(cell(row, name) for name in names)} |" for row in rows]
    seeds = {row.seeds for row in rows}
    lines += ["", f"n = {rows[0].n}; seeds {', '.join(map(str, sorted({one for row in seeds for one in row})))}; "
              "[95 % bootstrap intervals over questions]."]  # fmt: skip
    if any(row.beats_the_simple is False for row in rows):
        lines += [f"{_BEATEN} not shown to beat the simple policies at equal cost."]
    if said := [one for row in rows if (one := verdict(row, metric, cost))]:
        lines += ["", *(f"- {_escaped(one)}" for one in said)]
    if tests := _tests(rows, metric):
        lines += ["", *tests]
    if published:
        lines += ["", *_published(published)]
    return "\n".join(lines) + "\n"


def _tests(rows: Sequence[Row], metric: str) -> list[str]:
    simple = [row.policy for row in rows if row.sort == "simple"]
    policies = [row for row in rows if row.sort == "policy"]
    if not simple or not policies:
        return []
    lines = [
        f"{HEADINGS.get(metric, metric)}, points ahead of each simple policy, whatever it costs (paired; p of 10,000 "
        "exchanges of signs):",
        "",
        f"| | {' | '.join(map(_escaped, simple))} |",
        f"|---|{'---|' * len(simple)}",
    ]
    for row in policies:
        cells = [
            f"{100 * one.value.mean:+.1f} [{100 * one.value.low:+.1f}, {100 * one.value.high:+.1f}], {chance(one.p)}"
            for one in (row.against[name] for name in simple)
        ]
        lines.append(f"| {_escaped(row.policy)} | {' | '.join(cells)} |")
    return lines


def _published(published: Sequence[Published]) -> list[str]:
    lines = ["Published by others, not measured here:", ""]
    lines += ["| policy | EM | units | n | from |", "|---|---|---|---|---|"]
    for one in published:
        cost = "" if one.cost is None else f"{one.cost:.1f}"
        lines.append(f"| {_escaped(one.policy)} | {100 * one.value:.1f} | {cost} | {one.n} | {one.source} |")
    return lines


def escaped(text: str) -> str:
    """Words of anybody as Markdown in which they are no markup: no link, no picture, no code, no HTML."""
    return re.sub(r"([`*_\[\]!])", r"\\\1", _escaped(text))


def _escaped(text: str) -> str:
    shown = "".join(one if one.isprintable() else " " if one == "\n" else ascii(one)[1:-1] for one in text)
    return shown.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
