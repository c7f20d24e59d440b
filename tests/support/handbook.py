"""A folder of two knowledge bases for tests of the command line: one that answers, and one whose text is hostile."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner, Result

from kb_tools import Catalog, Passage
from router_graph.cli import app

HOSTILE = "\x1b[31mred\x1b[0m [bold]loud[/bold] \u202ebackwards\u202c \x9b2J cleared"
STEERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What steers a terminal."""
QUESTION = "How many days of leave does everybody have?"
ABOUT_THE_SKY = "What is the colour of the sky?"


def make_shelf(folder: Path) -> None:
    """`handbook`, which knows the answer to `QUESTION` (30), and `hostile`, which costs 0.01 USD a search."""
    with Catalog(folder) as catalog:
        handbook = catalog.create("handbook", description="The staff handbook: leave, travel, expenses.")
        handbook.add(
            [
                Passage(id="leave", title="Leave", text="Everybody has 30 days of leave a year."),
                Passage(id="taxi", title="Taxis", text="Taxi rides are paid back within a month."),
            ]
        )
        hostile = catalog.create("hostile", description=HOSTILE, cost_usd=0.01)
        hostile.add([Passage(id="a]\x1b[2J", title=HOSTILE, text=f"The colour of the sky is {HOSTILE}.")])


def run(*args: object, typed: str | bytes | None = None, code: int = 0) -> Result:
    """`polyroute` with these arguments, which ends with this code and no traceback."""
    result = CliRunner().invoke(app, [*map(str, args)], input=typed)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result
