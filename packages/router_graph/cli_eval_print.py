"""What `polyroute eval` shows in a terminal: a table that fits, and the sentences that matter."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from kb_tools import terminal
from router_graph.evaluation.evaluating import Evaluation
from router_graph.evaluation.suites.retrieval import Searched
from router_graph.evaluation.tables import HEADINGS, cell, columns_of, label, verdict

_ORDER = ("f1", "coverage", "documents", "cost_units", "retrievals", "calls", "usd", "latency_s", "gold_recall",
          "routing_accuracy", "stop_quality", "contains", "tokens")  # fmt: skip
"""After the metric that decides, as many as there is room for."""
_SHORT = {"coverage": "in evid.", "documents": "docs", "gold_recall": "gold", "routing_accuracy": "routing"}
_NAME, _GAP = 22, 3


def print_evaluation(done: Evaluation) -> None:
    """The metric that decides with its interval, some more, and what is to be said; all of it is in the files."""
    out = terminal.console()
    out.print(f"{terminal.one_line(done.title)}, n = {done.rows[0].n}\n")
    out.print(_table(done, out.width))
    for row in done.rows:
        if sentence := verdict(row, done.metric, done.cost):
            out.print(f"\n{terminal.one_line(sentence)}")


def print_notes(done: Evaluation) -> None:
    """What failed, and what a reader must know, on stderr."""
    for row in done.rows:
        if row.failures:
            terminal.note(f"{row.policy}: {row.failures:,} of {row.n * len(row.seeds):,} runs failed, and count 0.")
    for note in done.notes:
        terminal.note(note)


def print_searched(title: str, rows: Sequence[Searched]) -> None:
    """What fits into 80 columns, the first metric with its interval; all of it is in the file."""
    out = terminal.console()
    out.print(f"{terminal.one_line(title)}: the searches alone\n")
    table = Table(show_edge=False, header_style="bold", pad_edge=False)
    table.add_column("", overflow="fold")
    others = ("hit@5", "recall@10", "mrr")
    for heading in ("n", "hit@1", *others, "ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        head = row.metrics["hit@1"]
        interval = f"{100 * head.mean:.1f} [{100 * head.low:.1f}, {100 * head.high:.1f}]"
        cells = [str(row.n), interval, *(f"{100 * row.metrics[one].mean:.1f}" for one in others), f"{row.ms:.1f}"]
        table.add_row(Text(terminal.one_line(f"{row.name}, {row.mode}")), *map(Text, cells))
    out.print(table)


def _table(done: Evaluation, width: int) -> Table:
    columns: dict[str, list[str]] = {}
    left = width - _NAME
    for name in (done.metric, *(name for name in _ORDER if name in columns_of(done.rows) and name != done.metric)):
        heading = _SHORT.get(name, HEADINGS.get(name, name))
        cells = [heading, *(cell(row, name, interval=name == done.metric) for row in done.rows)]
        left -= max(map(len, cells)) + _GAP
        if left < 0:
            break
        columns[name] = cells
    table = Table(show_edge=False, header_style="bold", pad_edge=False)
    table.add_column("", overflow="fold")
    for cells in columns.values():
        table.add_column(cells[0], justify="right", no_wrap=True, min_width=max(map(len, cells)))
    for place, row in enumerate(done.rows, start=1):
        style = {"control": "dim", "bound": "dim", "policy": "bold", "simple": None}[row.sort]
        shown = [Text(cells[place]) for cells in columns.values()]
        table.add_row(Text(terminal.one_line(label(row))), *shown, style=style)
    return table
