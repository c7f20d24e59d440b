"""What `polyroute eval` shows in a terminal: a table that fits, and the sentences that matter."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from kb_tools import terminal
from router_graph.evaluation.evaluating import Evaluation
from router_graph.evaluation.tables import HEADINGS, cell, columns_of, label, verdict

_WANTED = ("coverage", "documents", "gold_recall", "routing_accuracy", "retrievals", "calls", "cost_units", "usd")
_SHORT = {"coverage": "in evid.", "documents": "docs", "gold_recall": "gold", "routing_accuracy": "routing"}
_MOST = 4
"""Columns beside the metric that decides and the seconds: what a terminal has room for."""


def print_evaluation(done: Evaluation) -> None:
    """The metric that decides, some more, and what is to be said; the whole table is in the files."""
    there = columns_of(done.rows)
    shown = [done.metric, *[name for name in ("f1", *_WANTED) if name in there and name != done.metric][:_MOST]]
    shown += ["latency_s"] if "latency_s" in there else []
    table = Table(show_edge=False, header_style="bold", pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in shown:
        table.add_column(_SHORT.get(name, HEADINGS.get(name, name)), justify="right", no_wrap=True)
    for row in done.rows:
        cells = [cell(row, name) if name == done.metric else cell(row, name).split(" [")[0] for name in shown]
        style = "dim" if row.sort in ("control", "bound") else "bold" if row.sort == "policy" else None
        table.add_row(Text(terminal.one_line(label(row))), *map(Text, cells), style=style)
    out = terminal.console()
    out.print(f"{done.suite.title}, n = {done.rows[0].n}\n")
    out.print(table)
    for row in done.rows:
        if sentence := verdict(row, done.metric, done.cost):
            out.print(f"\n{sentence}")
        if row.failures:
            terminal.note(f"{row.policy}: {row.failures:,} of {row.n * len(row.seeds):,} runs failed, and count 0.")
    for note in done.notes:
        terminal.note(note)
