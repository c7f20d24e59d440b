"""What the command line shows. Retrieved text, names and paths are data: nothing in them can steer the terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kb_tools.hits import Hit

if TYPE_CHECKING:
    from kb_tools.knowledge_base import Description

# C0 and C1 control characters except tab and line feed; marks that turn the direction of the text around them; halves
# of surrogate pairs, which no encoding takes.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SNIPPET, _LINES = 400, 6
_ROWS, _COLUMNS = 10, 8


def plain(text: str) -> str:
    """The text with everything that steers a terminal spelled out: an escape character becomes `\\x1b`."""
    return _STEERING.sub(_spelled, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`plain`, with line breaks spelled out as well, for names and ids."""
    return plain(text).replace("\n", "\\n")


def console() -> Console:
    """Standard output, for results."""
    return Console(highlight=False, markup=False, emoji=False)


def note(text: str) -> None:
    """One line on stderr."""
    Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True).print(one_line(text))


def print_json(value: Any) -> None:
    """The value alone on stdout, in ASCII, so that no locale and no terminal can harm it or be harmed by it.

    Models and dataclasses become objects, and what JSON has no number for (infinity) null.
    """
    sys.stdout.write(json.dumps(to_jsonable_python(value, inf_nan_mode="null"), indent=2) + "\n")


def print_hits(hits: Sequence[Hit]) -> None:
    """Best first: rank, score, what found it, title and id; then its text, a table as a table."""
    out = console()
    for rank, hit in enumerate(hits, start=1):
        found = ", ".join(f"{source} #{place}" for source, place in hit.found.items())
        line = Text.assemble(
            (f"{rank:>2}. ", "bold"),
            (plain(" ".join(hit.title.split())) or one_line(str(hit.metadata.get("file") or "untitled")), "bold"),
            f"  {one_line(hit.doc_id)}",
            (f"  {hit.score:.4f}  {found}", "dim"),
        )
        out.print(line, soft_wrap=True)
        for part in _parts(hit):
            out.print(Padding(part, (0, 0, 0, 4), expand=False))


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, most: int = _ROWS) -> None:
    """Rows of a table, cut to what a terminal can show: to the first `most`."""
    shown = [["" if cell is None else str(cell) for cell in row] for row in rows]
    console().print(_table(columns, shown, len(rows), most))


def print_list(about: Sequence[Description]) -> None:
    """A line a knowledge base."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("name", "holds"):
        table.add_column(heading, no_wrap=True)
    for heading in ("documents", "USD/call"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("description")
    for one in about:
        cells = (one.name, one.modality, f"{one.documents:,}", f"{one.cost_usd:g}", one.description)
        table.add_row(*(Text(plain(" ".join(cell.split()))) for cell in cells))
    console().print(table)


def print_fields(fields: Mapping[str, Any]) -> None:
    """A line a field; those without a value are left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, value in fields.items():
        if value is not None:
            shown = f"{value:,}" if isinstance(value, int) else str(value)
            grid.add_row(Text(name.replace("_", " "), style="bold"), Text(plain(shown)))
    console().print(grid)


def _spelled(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _parts(hit: Hit) -> Iterator[Text | Table]:
    lines = hit.text.splitlines()
    if hit.modality != "table":
        yield _snippet(_body(hit))
        return
    rows = [_cells(line) for line in lines if line.startswith("| ")]
    words = [line for line in lines if line.strip() and not line.startswith("| ") and line.strip() != hit.title.strip()]
    if words:
        yield _snippet(" ".join(words))
    if len(rows) > 1:  # a header and its rule
        yield _table(rows[0], rows[2:], int(hit.metadata.get("rows", len(rows) - 2)))


def _body(hit: Hit) -> str:
    """The text of a hit without what stands above it already: front matter, and a heading that is the title."""
    from kb_tools.loaders.plain import without_matter

    text = without_matter(hit.text).lstrip()
    first, _, rest = text.partition("\n")
    if hit.title and first.strip().strip("#").strip() == hit.title.strip():
        return re.sub(r"\A\s*[=-]+[ \t]*$", "", rest, flags=re.MULTILINE) if rest.strip() else text
    return text


def _snippet(text: str) -> Text:
    """The first lines that are not empty, each with its spaces folded."""
    lines = [folded for line in text.splitlines() if (folded := " ".join(line.split()))]
    shown = "\n".join(lines[:_LINES])
    if len(shown) > _SNIPPET:
        shown = shown[:_SNIPPET].rstrip() + " …"
    elif len(lines) > _LINES:
        shown += " …"
    return Text(plain(shown))


def _cells(line: str) -> list[str]:
    """The cells of a line of `render_table`."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], total: int, most: int = _ROWS) -> Table:
    cut = len(columns) - _COLUMNS
    table = Table(show_edge=False, header_style="bold")
    for column in columns[:_COLUMNS]:
        table.add_column(Text(plain(column)), overflow="fold")
    for row in rows[:most]:
        table.add_row(*(Text(plain(cell)) for cell in row[:_COLUMNS]))
    missing = []
    if total > min(len(rows), most):
        missing.append(f"{total - min(len(rows), most):,} more rows")
    if cut > 0:
        missing.append(f"{cut} more columns")
    if missing:
        table.caption = Text(f"… {' and '.join(missing)}", style="dim")
        table.caption_justify = "left"
    return table
