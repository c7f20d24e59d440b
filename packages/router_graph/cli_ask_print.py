"""What came of a question, on stdout: the answer, its sources, why it ended, the bill, and what could have been."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from kb_tools import terminal
from kb_tools.terminal import one_line, plain
from router_graph.actions import action_from_dict
from router_graph.bill import format_bill
from router_graph.ledger import Entry
from router_graph.money import usd

if TYPE_CHECKING:  # LangGraph comes with them, which takes long
    from router_graph.explain import Preview
    from router_graph.state import Step, StopReason

_WHY_IT_ENDED: dict[StopReason, str] = {
    "no_answer": "Nothing that was found answers it.",
    "steps": "It had asked as often as it may (--max-steps).",
    "usd": "The money was spent (--budget-usd).",
    "tokens": "The tokens were used up (--budget-tokens).",
    "seconds": "The time was over (--seconds).",
    "repeats": "It asked again what it had asked before.",
    "malformed": "The policy's replies could not be read.",
    "no_options": "There was nobody left to ask.",
    "policy_failed": "The policy could not decide.",
}


def print_plainly(answer: str) -> None:
    """The answer alone."""
    terminal.console().print(plain(answer), soft_wrap=True)


def print_answer(result: Mapping[str, Any]) -> None:
    """The answer, in a frame where it is a terminal; then its sources, and why it ended early, if it did."""
    out = terminal.console()
    answer = Text(plain(result["answer"]))
    if out.is_terminal:
        out.print(Panel(answer, title="Answer", title_align="left", expand=False))
    else:
        out.print(answer, soft_wrap=True)
    if result["citations"]:
        out.print("\nSources", style="bold")
        for one in result["citations"]:
            mark = one_line(f"[{one['kb']}:{one['doc_id']}]")
            out.print(f"  {mark}  {one_line(' '.join(one['title'].split()))}".rstrip(), soft_wrap=True)
    reason: StopReason = result["stop_reason"]
    if reason not in ("answered", "no_answer"):  # the answer itself says that there is none
        out.print(f"\nStopped early ({reason}): {_WHY_IT_ENDED[reason]}", soft_wrap=True)
        if problem := result["steps"][-1]["decision"]["problem"]:
            out.print(f"  {plain(problem)}", soft_wrap=True)


def print_bill(ledger: Mapping[str, Entry]) -> None:
    """What it cost, line by line."""
    if not ledger:
        terminal.console().print("\nCost: nothing.")
        return
    terminal.console().print(f"\n{format_bill(ledger)}", soft_wrap=True)


def note_bill(ledger: Mapping[str, Entry]) -> None:
    """What a run that broke off has cost, on stderr."""
    for line in format_bill(ledger).splitlines() if ledger else ():
        terminal.note(line)


def print_why(result: Mapping[str, Any]) -> None:
    """For each step, its options: which were taken, the chance and price of each, and why one could not be chosen."""
    out = terminal.console()
    menu = {option["key"]: option["usd"] for option in result["menu"]}
    for step in result["steps"]:
        decision = step["decision"]
        chances, masked, taken = decision["probabilities"] or {}, decision["masked"], set(_taken(step))
        rows = [(key, chances.get(key), price, masked.get(key), key in taken) for key, price in menu.items()]
        by = f"{decision['policy']} {decision['version']}"
        out.print(
            f"\nStep {step['number']}, by {one_line(by)} (replay {decision['replay_id']})", style="bold", soft_wrap=True
        )
        out.print(_options(rows))


def print_preview(about: Preview) -> None:
    """What the policy would do first, and what its options are."""
    out = terminal.console()
    if about.actions is None:
        out.print(plain(about.problem), soft_wrap=True)
    else:
        if about.thought:
            out.print(plain(" ".join(about.thought.split())), soft_wrap=True)
        for action in map(action_from_dict, about.actions):
            what = getattr(action, "query", None) or getattr(action, "text", None) or getattr(action, "problem", "")
            out.print(f"  → {one_line(action.target)}: {one_line(' '.join(str(what).split()))}", soft_wrap=True)
    taken = {action_from_dict(one).target for one in about.actions or ()}
    out.print()
    out.print(
        _options(
            (one["key"], one["probability"], one["usd"], one["masked"], one["key"] in taken) for one in about.options
        )
    )
    out.print(f"\nBy {one_line(about.policy)} {one_line(about.version)}; replay {about.replay_id}. Nothing was spent.")


def _taken(step: Step) -> Iterable[str]:
    return (action_from_dict(data).target for data in step["actions"])


def _options(rows: Iterable[tuple[str, float | None, float, str | None, bool]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("")
    table.add_column("option", overflow="fold")
    table.add_column("chance", justify="right", no_wrap=True)
    table.add_column("a call", justify="right", no_wrap=True)
    table.add_column("not now, because", overflow="fold")
    for key, chance, price, masked, taken in rows:
        cost = "" if key == "answer" else "free" if price == 0 else f"about {usd(price)}"
        shown = "" if chance is None else f"{chance:.1%}"
        cells = ("→" if taken else "", key, shown, cost, masked or "")
        table.add_row(*(Text(one_line(cell)) for cell in cells), style="dim" if masked else None)
    return table
