"""Estimates from a log in a terminal, as JSON, and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb_tools import terminal
from router_training.ope.estimate import CannotTell

if TYPE_CHECKING:
    from router_training.estimating import Estimated
    from router_training.running import Comparison


def show(told: Estimated, *, as_json: bool) -> None:
    """The report, or why nobody can tell."""
    if as_json:
        terminal.print_json(plain(told))
    elif isinstance(told.report, CannotTell):
        terminal.console().print(terminal.one_line(f"=> {told.report}."), soft_wrap=True)
    else:
        terminal.console().print(told.report.to_text(), end="", soft_wrap=True)
    for why, count in told.left_out.items():
        terminal.note(f"{count:,} runs were not used: {why}.")
    for name, why in told.unjudged.items():
        terminal.note(f"{name} cannot be judged on this log: {why}")


def plain(told: Estimated) -> dict[str, Any]:
    """As JSON values."""
    left = {"left_out": dict(told.left_out), "unjudged": dict(told.unjudged)}
    if isinstance(told.report, CannotTell):
        return {"cannot_tell": told.report.rule, "reason": told.report.reason, **left}
    return {**told.report.to_dict(), **left}


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
        (terminal.one_line(name), str(quality), f"{ran.usd[name]:.5f}", _ahead(ran, name))
        for name, quality in ran.quality.items()
    ]
    terminal.print_rows(("policy, run", "quality", "USD a question", "the candidate's lead"), rows, most=len(rows))


def _ahead(ran: Comparison, name: str) -> str:
    found = next((one for one in ran.against if one.name == name), None)
    if found is None:
        return ""
    lead = f"{found.ahead.value:+.3f} [{found.ahead.low:+.3f}, {found.ahead.high:+.3f}]"
    return lead if found.is_rival else f"{lead}, but it is dearer"
