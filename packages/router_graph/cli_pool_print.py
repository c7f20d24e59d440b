"""What `polyroute pool` shows of cards, tests and probes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kb_tools import terminal
from router_graph.bill import format_bill
from router_graph.ledger import Ledger
from router_graph.money import usd
from router_graph.pool.card import TYPICAL, ModelCard
from router_graph.pool.price import Price
from router_graph.pool.probe import ProbeReport

_SAID = 60


def print_models(about: Sequence[Mapping[str, Any]]) -> None:
    """A row a model; where the terminal is too narrow for rows, a few lines a model."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, justify in _COLUMNS:
        table.add_column(heading, justify="right" if justify else "left", no_wrap=True)
    rows = [_cells(one) for one in about]
    for row in rows:
        table.add_row(*(Text(_clean(cell)) for cell in row.values()))
    out = terminal.console()
    needed = out.measure(table, options=out.options.update(width=10_000)).maximum
    if out.is_terminal and needed > out.width:
        for row in rows:
            name, model, into, said, priced, *rest = map(_clean, row.values())
            out.print(f"{name}  {model}", style="bold")
            price = "free" if into == said == "0" else f"{into} in, {said} out, USD per million tokens"
            out.print(Padding(f"{price} ({priced})", (0, 0, 0, 2)))
            facts_left = zip(_COLUMNS[-len(rest) :], rest, strict=True)
            facts = "; ".join(_in_block(heading, cell) for (heading, _), cell in facts_left)
            out.print(Padding(facts, (0, 0, 0, 2)))
        return
    out.width = needed
    out.print(table)


def print_model(about: Mapping[str, Any]) -> None:
    """A line a fact, then the line that a policy reads."""
    card: ModelCard = about["card"]
    price = card.payable
    into, out = TYPICAL
    longest = about["usd_of_longest_call"]
    fields = {
        "name": card.name,
        "id": card.id,
        "transport": card.transport,
        "api base": card.api_base,
        "key": _key_in_words(about["key"]),
        "ceiling" if card.price is None else "price": _price_in_words(price),
        "price from": _origin(price.source, price.date),
        "typical call": f"at most {usd(about['usd_of_typical_call'])} for {into} tokens in and {out} out",
        "longest call": None
        if longest is None
        else f"at most {usd(longest)} for {card.context:,} tokens in and {card.max_tokens:,} out",
        "context": None if card.context is None else f"{card.context:,} tokens",
        "reply": f"at most {card.max_tokens:,} tokens",
        "image": f"at most {card.image_tokens:,} tokens" if card.vision else None,
        "can": ", ".join(word for word, can in (("tools", card.tools), ("vision", card.vision)) if can) or None,
        "strengths": card.strengths or None,
        "measured": None if card.measured is None else _measured_in_words(card),
        "privacy": card.privacy,
        "side by side": f"{card.concurrency} calls",
        "timeout": f"{card.timeout_s:g} s",
        "mask": card.mask,
        "params": ", ".join(f"{key}: {value}" for key, value in card.params.items()) or None,
        "fallbacks": ", ".join(about["fallbacks"]) or None,
    }
    terminal.print_fields(fields)
    terminal.console().print(f"\nA policy reads:\n{_clean(about['policy_reads'])}", soft_wrap=True)


def print_outcome(outcome: Mapping[str, Any], width: int) -> None:
    """The line of one tested model."""
    verdict = "ok" if outcome["ok"] else "failed"
    if outcome["ok"]:
        about = "~" if outcome["estimated"] else ""
        took = f"{outcome['seconds']:.2f} s, {about}{outcome['tokens']} tokens, {about}{usd(outcome['usd'])}"
        told = f"{took}, said {_cut(outcome['said'])!r}" if outcome["said"] else f"{took}, said nothing"
    else:
        told = outcome["error"]
    terminal.console().print(f"{verdict:<6}  {outcome['name']:<{width}}  {_clean(told)}", soft_wrap=True)


def print_report(report: ProbeReport) -> None:
    """How a probed model did: in a sentence, then a line a task."""
    out = terminal.console()
    pace = "" if report.seconds is None else f", {report.seconds:.2g} s a call"
    score = f"{report.right} of {report.asked} right{pace}. " if report.asked else ""
    out.print(f"{report.name}: {score}{report.summary}", soft_wrap=True)
    width = max(len(result.kind) for result in report.results)
    for result in report.results:
        if result.right is not None:
            told = result.error or f"{_cut(result.said)!r}"
            verdict = "right" if result.right else "wrong"
            out.print(f"  {verdict}  {result.kind:<{width}}  {_clean(told)}", soft_wrap=True)
    for error in dict.fromkeys(result.error for result in report.results if result.right is None):
        out.print(f"  {_clean(str(error))}", soft_wrap=True)


@contextlib.contextmanager
def billed(ledger: Ledger, *, as_json: bool) -> Iterator[None]:
    """Print the bill at the end, however the block ends; where stdout is for JSON and was not reached, on stderr."""
    try:
        yield
    except BaseException:
        for line in format_bill(ledger.entries).splitlines():
            terminal.note(line)
        raise
    if not as_json:
        terminal.console().print(f"\n{format_bill(ledger.entries)}", soft_wrap=True)


@contextlib.contextmanager
def progress(models: Sequence[str]) -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """A bar a model on stderr, with the time left; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    # Rich would send what is printed meanwhile to stderr as well.
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, disable=not console.is_terminal
    ) as bar:
        tasks = {name: bar.add_task(name, total=None) for name in models}

        def of_model(name: str) -> Callable[[int, int], None]:
            return lambda done, total: bar.update(tasks[name], completed=done, total=total)

        yield of_model


_COLUMNS = (
    ("name", False),
    ("id", False),
    ("USD/M in", True),
    ("out", True),
    ("price from", False),
    ("context", True),
    ("can", False),
    ("privacy", False),
    ("key", False),
    ("measured", False),
)
"""Of the list: heading, and whether it is a number."""


def _cells(one: Mapping[str, Any]) -> dict[str, str]:
    most = "≤ " if one["at_most"] else ""
    measured = one["measured"]
    cells = (
        one["name"],
        f"{one['id']} under {one['mask']}" if isinstance(one["mask"], str) else one["id"],
        f"{most}{one['usd_per_million_in']:g}",
        f"{most}{one['usd_per_million_out']:g}",
        _origin(one["price_source"], one["price_date"]),
        f"{one['context']:,}" if one["context"] else "-",
        ", ".join(one["can"]) or "-",
        one["privacy"],
        _key_in_words(one["key"]),
        f"{measured.right} of {measured.asked}, {measured.date}" if measured else "-",
    )
    return dict(zip((heading for heading, _ in _COLUMNS), cells, strict=True))


def _in_block(heading: str, cell: str) -> str:
    """A cell of the list where no heading stands above it."""
    if cell == "-":
        return {"can": "text only", "measured": "not measured"}.get(heading, f"{heading} unknown")
    return f"{heading} {cell}" if heading in ("context", "privacy", "measured") else cell


def _key_in_words(key: Mapping[str, str | None]) -> str:
    if key["variable"] is None:
        return "no key needed" if key["state"] == "none needed" else "-"
    return f"{key['variable']} {key['state']}"


def _price_in_words(price: Price) -> str:
    if price.is_free:
        return "free"
    kinds = {"in": "input", "out": "output", "cached in": "cached", "cache write": "cache_written"}
    kinds["reasoning"] = "reasoning"
    slabs = {"": price, **{f" above {tokens:,} tokens in": rates for tokens, rates in sorted(price.tiers.items())}}
    parts = []
    for above, rates in slabs.items():
        told = [f"{value:g} {kind}" for kind, field in kinds.items() if (value := getattr(rates, field)) is not None]
        parts.append(", ".join(told) + above)
    text = "; ".join(parts) + " (USD per million tokens)"
    return text + (f", and {price.per_call:g} USD a call" if price.per_call else "")


def _measured_in_words(card: ModelCard) -> str:
    measured = card.measured
    assert measured is not None
    pace = "" if measured.seconds is None else f", {measured.seconds:.2g} s a call"
    score = f"{measured.right} of {measured.asked} right on {measured.on} ({measured.date}){pace}."
    return f"{score} {measured.summary}".strip()


def _origin(source: str, date: object) -> str:
    if date is None:
        return source
    # LiteLLM's map has no date of its own: its prices are of that day at the latest.
    return f"{source}, installed {date}" if source.startswith("litellm ") else f"{source}, {date}"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SAID else text[: _SAID - 1] + "…"


def _clean(text: str) -> str:
    return terminal.plain(" ".join(text.split()))
