"""Estimates from a log in a terminal, as JSON, and as a picture."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb_tools import terminal
from router_training.ope.estimate import CannotTell

if TYPE_CHECKING:
    from router_training.estimating import Estimated
    from router_training.ope.intervals import Interval
    from router_training.running import Comparison


def show(told: Estimated, *, as_json: bool, gate: bool = True) -> None:
    """The report, or why nobody can tell. `gate` is off where a last word follows."""
    if as_json:
        terminal.print_json(plain(told))
    elif isinstance(told.report, CannotTell):
        if gate:
            terminal.console().print(terminal.one_line(f"=> {told.report}."), soft_wrap=True)
    else:
        terminal.console().print(told.report.to_text(gate=gate), end="", soft_wrap=True)
    for sentence in told.used.sentences if told.used else ():
        terminal.note(sentence)


def plain(told: Estimated) -> dict[str, Any]:
    """As JSON values."""
    if isinstance(told.report, CannotTell):
        return {"cannot_tell": told.report.rule, "reason": told.report.reason}
    return {**told.report.to_dict(), "used": None if told.used is None else asdict(told.used)}


def picture(told: Estimated, path: Path) -> None:
    """As a PNG. Raises `ConfigError` without matplotlib."""
    from router_training.errors import DataError
    from router_training.ope.chart import save_chart

    if isinstance(told.report, CannotTell):
        raise DataError(f"There is nothing to draw: {told.report}.")
    save_chart(path, told.report)


def print_comparison(ran: Comparison) -> None:
    """What running the policies came to."""
    rows = [
        (terminal.one_line(name), str(quality), f"{ran.usd[name]:.5f}", _signed(ran.ahead.get(name)))
        for name, quality in ran.quality.items()
    ]
    terminal.print_rows(("policy, run", "quality", "USD a question", "the candidate's lead"), rows, most=len(rows))


def _signed(one: Interval | None) -> str:
    return "" if one is None else f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
