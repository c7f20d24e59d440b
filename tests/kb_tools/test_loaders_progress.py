"""The progress bar."""

from __future__ import annotations

import io

from rich.console import Console

from kb_tools.loaders import progress_bar
from kb_tools.loaders.progress import Work


def test_a_terminal_sees_size_rate_and_the_name_as_it_is() -> None:
    out = io.StringIO()
    with progress_bar(Console(file=out, force_terminal=True, width=120)) as on_progress:
        on_progress(0, 2_000_000, "[red]a.jsonl")
        on_progress(1_000_000, 2_000_000, "[red]a.jsonl")
    shown = out.getvalue()
    assert "1.0/2.0 MB" in shown and "[red]a.jsonl" in shown and "0:00:0" in shown


def test_what_counts_is_what_is_embedded_and_not_what_is_read() -> None:
    told: list[int] = []
    work = Work(lambda done, total, label: told.append(done))
    work.begin(1000)
    work.open_file("a.csv", 400)
    work.give_document()  # a reader that does not stream: the whole file is behind its document
    work.close_file()
    work.open_file("b.jsonl", 600)
    work.read_in_file(200)  # a reader that streams
    work.give_document()
    assert told == [0, 0]
    for share in (0.5, 0.25, 1.0, 7.0):
        work.batch_share(share)
    work.batch_done(2)
    work.read_in_file(600)
    work.batch_share(0.5)
    work.batch_done(1)
    work.finish()
    assert told == [0, 0, 300, 600, 800, 1000, 1000]


def test_it_is_silent_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with progress_bar(Console(file=out)) as on_progress:
        on_progress(1, 2, "a")
    assert out.getvalue() == ""
