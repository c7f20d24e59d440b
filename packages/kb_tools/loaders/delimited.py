"""csv and tsv → a `Table` a file. The first row is the header; delimiter and encoding are found out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager

from kb_tools.documents import Table
from kb_tools.loaders.decoding import decode_text
from kb_tools.loaders.origin import Origin, brief
from kb_tools.loaders.rows import tidy

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_CHARACTERS = 64 * 1024


def read_csv(origin: Origin) -> Iterator[Table]:
    """The one table of a csv file: `,`, `;`, tab or `|` between cells; UTF-8, else cp1252.

    Where cp1252 was assumed, metadata has it as `encoding`. Raises `UnreadableFileError` for a ragged row (with
    its line) and an unclosed quote.
    """
    text, assumed = decode_text(origin, origin.path.read_bytes(), guess="cp1252")
    yield _table(origin, _rows(origin, text, sniff_delimiter(text)), assumed)


def read_tsv(origin: Origin) -> Iterator[Table]:
    """The one table of a tsv file. Quotes are taken as quotes where they are balanced, else as letters."""
    text, assumed = decode_text(origin, origin.path.read_bytes(), guess="cp1252")
    try:
        with _long_fields():
            list(csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True))
        quoting: int = csv.QUOTE_MINIMAL
    except csv.Error:
        quoting = csv.QUOTE_NONE
    yield _table(origin, _rows(origin, text, "\t", quoting), assumed)


def sniff_delimiter(text: str) -> str:
    """The delimiter by which most rows of the beginning are as wide as the header, and that wider than one cell."""
    sample = text[:_SAMPLE_CHARACTERS]
    if len(text) > len(sample):
        sample = sample[: sample.rfind("\n") + 1] or sample

    def score(delimiter: str) -> tuple[float, int]:
        with _long_fields():
            rows = [row for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row]
        width = len(rows[0]) if rows else 0
        return (sum(len(row) == width for row in rows) / len(rows), width) if width > 1 else (0.0, 0)

    return max(_DELIMITERS, key=score)


def _rows(
    origin: Origin, text: str, delimiter: str, quoting: int = csv.QUOTE_MINIMAL
) -> Iterator[tuple[int, list[str]]]:
    """(first line of the row, its cells); empty lines are passed over."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise origin.unreadable(f"the row that begins in line {line} is no csv ({brief(error)})") from None


def _table(origin: Origin, rows: Iterator[tuple[int, list[str]]], assumed: str | None) -> Table:
    with _long_fields():
        _, header = next(rows, (0, []))
        if not any(cell.strip() for cell in header):
            raise origin.unreadable("it has no header row")
        body: list[list[str]] = []
        for line, row in rows:
            if len(row) != len(header):
                raise origin.unreadable(
                    f"line {line} has {_cells(len(row))}, but the header has {len(header)}; "
                    "quote cells that hold the delimiter, or mend the line"
                )
            body.append(row)
    header, body = tidy(header, body)
    metadata = origin.metadata() if assumed is None else origin.metadata(encoding=assumed)
    return Table(id=origin.name, title=origin.path.stem, header=header, rows=body, metadata=metadata)


def _cells(number: int) -> str:
    return "1 cell" if number == 1 else f"{number} cells"


@contextmanager
def _long_fields() -> Iterator[None]:
    """csv stops at cells of 128 KiB unless it is told not to, and can be told only for the whole process."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)
