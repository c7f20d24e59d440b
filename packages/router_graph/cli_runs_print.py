"""What `polyroute runs` shows. All of it was logged: nothing in it can steer the terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kb_tools import terminal
from kb_tools.terminal import one_line, plain
from router_graph.actions import action_from_dict
from router_graph.cli_ask_print import print_why
from router_graph.cli_ask_story import came_back
from router_graph.money import usd
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.export.exporting import Exported
from router_graph.trajectories.findings import Finding
from router_graph.trajectories.manifest import Manifest
from router_graph.trajectories.records import RunRecord, StepRecord
from router_graph.trajectories.statistics import LogFacts

_QUESTION, _TEXT = 60, 400
"""Characters that are shown of each."""


def line_of(run: RunRecord) -> dict[str, Any]:
    """What the list tells of a run."""
    return {
        "run_id": run.run_id,
        "at": run.at,
        "question_id": run.question_id,
        "question": run.question,
        "policies": list(dict.fromkeys(one.step["decision"]["policy"] for one in run.steps)),
        "steps": len(run.steps),
        "status": run.status,
        "stop_reason": run.stop_reason,
        "usd": run.usd,
        "seconds": run.seconds,
    }


def print_runs(runs: Sequence[RunRecord], total: int) -> None:
    """A row a run; where the terminal is too narrow for rows, two lines a run."""
    out = terminal.console()
    headings = ("run", "when (UTC)", "policy", "steps", "came to", "USD", "s", "question")
    rows = [_cells(run) for run in runs]
    table = _table(headings, rows, right=("steps", "USD", "s"))
    needed = out.measure(table, options=out.options.update(width=10_000)).maximum
    if out.is_terminal and needed > out.width:
        for run, when, policy, steps, came, money, seconds, question in rows:
            out.print(Text(run, style="bold"))
            out.print(Text(f"  {when}  {policy}, {steps} steps, {came}, {money}, {seconds} s: {question}"))
    else:
        _show(out, table)
    if total > len(runs):
        terminal.note(f"{total - len(runs):,} older runs are not shown; --limit shows more.")


def print_run(run: RunRecord) -> None:
    """What was asked, then each step as a story, then how it ended."""
    out = terminal.console()
    terminal.print_fields(
        {
            "run": run.run_id,
            "question": " ".join(run.question.split()),
            "question id": run.question_id if run.question_id != run.question else None,
            "thread": run.thread_id or None,
            "when": f"{_when(run.at)} UTC",
            "took": None if run.seconds is None else f"{run.seconds:.2f} s",
            "came to": _came_to(run),
            "error": run.error or None,
            "cost": f"{usd(run.usd)}, {run.tokens:,} tokens",
            "images": len(run.images) or None,
            "metadata": ", ".join(f"{key}: {value}" for key, value in run.metadata.items()) or None,
            "made with": ", ".join(f"{key} {value}" for key, value in run.software.items()) or None,
        }
    )
    for one in run.steps:
        decision = one.step["decision"]
        logged = {**decision, "replay_id": one_line(decision["replay_id"])}  # of a turn it is a hash, of a log anything
        print_why({"menu": run.menu, "steps": [{**one.step, "decision": logged}]})
        _print_step(out, one)
    for call in run.calls:
        said = call["error"] or call["reply"]
        told = f"{call['model'] or 'a model'} in {call['node'] or 'the graph'}, {call['seconds']:.2f} s: {_cut(said)}"
        out.print(Text(f"  called {one_line(told)}"), soft_wrap=True)
    if run.answer:
        out.print("\nAnswer", style="bold")
        out.print(Text(plain(run.answer)), soft_wrap=True)
    for cited in run.citations:
        mark = one_line(f"[{cited['kb']}:{cited['doc_id']}]")
        out.print(Text(f"  {mark}  {_cut(cited['title'])}".rstrip()), soft_wrap=True)


def print_facts(facts: LogFacts) -> None:
    """The sums, then a table of policies and one of options."""
    out = terminal.console()
    span = "" if facts.first_at is None else f"{_when(facts.first_at)} to {_when(facts.last_at or 0.0)} UTC"
    mean = f", {usd(facts.usd / facts.runs)} a run" if facts.runs else ""
    terminal.print_fields(
        {
            "runs": f"{facts.runs:,}, and {len(facts.questions):,} different questions",
            "recorded": span or None,
            "steps": f"{facts.steps:,}",
            "calls of models": f"{facts.calls:,}",
            "cost": f"{usd(facts.usd)}{mean}; {facts.tokens:,} tokens",
            "came to": _counts(facts.statuses),
            "stopped because": _counts(facts.stop_reasons),
            "routes came back": _counts(facts.observations),
            "of other graphs": f"{facts.foreign:,} runs" if facts.foreign else None,
        }
    )
    if facts.policies:
        out.print()
        headings = ("policy", "protocol", "steps", "propensity", "of chance", "tokens", "malformed", "actions")
        rows = [
            (
                f"{name} {version}",
                protocol,
                f"{one.steps:,}",
                _share(one.with_propensity, one.steps),
                _share(one.with_chance, one.steps),
                _share(one.with_tokens, one.steps),
                _share(one.malformed, one.steps),
                _counts(one.targets) or "-",
            )
            for (name, version, protocol), one in sorted(facts.policies.items())
        ]
        _show(out, _table(headings, rows, right=headings[2:7]))
    if facts.options:
        out.print()
        columns = ("option", "offered", "chosen", "share", "mean chance", "least chance")
        cells = [
            (
                key,
                f"{one.offered:,}",
                f"{one.chosen:,}",
                _share(one.chosen, one.offered),
                "-" if one.mean_probability is None else f"{one.mean_probability:.1%}",
                "-" if one.least is None else f"{one.least:.2g}",
            )
            for key, one in sorted(facts.options.items())
        ]
        _show(out, _table(columns, cells, right=columns[1:]))


def print_findings(found: Sequence[Finding], report: LogReport) -> None:
    """What was read; then the findings, the worst first."""
    out = terminal.console()
    read = f"{report.runs:,} runs, {report.lines:,} lines in {report.shards:,} shards, {report.bytes / 1e6:,.1f} MB."
    out.print(read, soft_wrap=True)
    for one in found:
        out.print(Text(f"\n{one.severity}: {one.what}: {one.count:,}. {one.means}"), soft_wrap=True)
        for example in one.examples:
            out.print(Text(f"  {one_line(example)}"), soft_wrap=True)
        if one.examples and one.count > len(one.examples):
            out.print(f"  and {one.count - len(one.examples):,} more")
    if not found:
        out.print("Nothing is wrong with them.")


def print_manifest(folder: Path, manifest: Manifest) -> None:
    """What a compaction came to."""
    terminal.print_fields(
        {
            "folder": str(folder),
            "runs": manifest["runs"],
            "steps": manifest["steps"],
            "parts": len(manifest["parts"]),
            "written again": manifest["replaced"] or None,
            "fingerprint": manifest["fingerprint"],
        }
    )


def note_export(done: Exported) -> None:
    """What was written, and what was not and why."""
    terminal.note(f"{done.count:,} {done.things} were written to {done.path}.")
    for why, count in done.skipped.most_common():
        terminal.note(f"{count:,} {done.things} were left out: {why}.")


def note_damage(report: LogReport) -> None:
    """A line on stderr where something was skipped."""
    if report.damaged:
        first = f" The first is {report.damages[0]}." if report.damages else ""
        terminal.note(f"{report.damaged:,} lines were skipped; `polyroute runs check` lists them.{first}")


@contextlib.contextmanager
def progress(things: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, with the time left; nothing where that is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(things, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print_step(out: Console, record: StepRecord) -> None:
    step, decision = record.step, record.step["decision"]
    if thought := _cut(step.get("thought", "")):
        out.print(Text(f"  {thought}"), soft_wrap=True)
    if decision["problem"]:
        out.print(Text(f"  ! {_cut(decision['problem'])}"), soft_wrap=True)
    observations = step.get("observations", {})
    for position, data in enumerate(step.get("actions", ())):
        action = action_from_dict(data)
        what = getattr(action, "query", None) or getattr(action, "text", None) or getattr(action, "problem", "")
        out.print(Text(f"  → {one_line(action.target)}: {_cut(str(what))}"), soft_wrap=True)
        if (seen := observations.get(str(position))) is not None:
            cost = f", {usd(seen['usd'])}" if seen["usd"] else ""
            out.print(Text(f"    ← {came_back(seen)}  ({seen['seconds']:.2f} s{cost})"), soft_wrap=True)
    drawn = "propensity unknown" if decision["propensity"] is None else f"propensity {decision['propensity']:.4g}"
    spent = f"{usd(decision['usd'])}, " if decision["usd"] else ""
    out.print(Text(f"  {drawn}; it took {spent}{decision['tokens']:,} tokens, {decision['seconds']:.2f} s", "dim"))


def _cells(run: RunRecord) -> tuple[str, ...]:
    told = line_of(run)
    cells = (
        run.run_id,
        _when(run.at),
        ", ".join(told["policies"]) or ("-" if run.is_ours else "another graph"),
        f"{len(run.steps)}",
        _came_to(run),
        usd(run.usd),
        "-" if run.seconds is None else f"{run.seconds:.2f}",
        _cut(run.question, _QUESTION),
    )
    return tuple(one_line(cell) for cell in cells)


def _came_to(run: RunRecord) -> str:
    return str(run.stop_reason or run.status)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    numbers = set(right)
    for heading in headings:
        is_number = heading in numbers
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    return table


def _show(out: Console, table: Table) -> None:
    """As wide as it is, where nobody's window limits it."""
    if not out.is_terminal:
        out.width = max(out.width, out.measure(table, options=out.options.update(width=10_000)).maximum)
    out.print(table)


def _counts(counts: Mapping[str, int]) -> str | None:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count:,}" for name, count in ordered) or None


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def _cut(text: str, most: int = _TEXT) -> str:
    text = one_line(" ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"
