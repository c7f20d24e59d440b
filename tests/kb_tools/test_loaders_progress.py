"""The progress bar."""

from __future__ import annotations

import io

from rich.console import Console

from kb_tools.loaders import progress_bar


def test_a_terminal_sees_size_rate_and_the_name_as_it_is() -> None:
    out = io.StringIO()
    with progress_bar(Console(file=out, force_terminal=True, width=120)) as on_progress:
        on_progress(0, 2_000_000, "[red]a.jsonl")
        on_progress(1_000_000, 2_000_000, "[red]a.jsonl")
    shown = out.getvalue()
    assert "1.0/2.0 MB" in shown and "[red]a.jsonl" in shown and "0:00:0" in shown


def test_it_is_silent_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with progress_bar(Console(file=out)) as on_progress:
        on_progress(1, 2, "a")
    assert out.getvalue() == ""
