"""csv, tsv, xlsx and parquet as tables."""

from __future__ import annotations

import csv
import datetime as dt
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kb_tools.documents import Table
from kb_tools.errors import UnreadableFileError
from kb_tools.loaders import read_file
from kb_tools.loaders.rows import cell_text, name_columns


def read(path: Path, data: bytes | str | None = None) -> list[Table]:
    if data is not None:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    documents = list(read_file(path, path.as_posix(), "table"))
    assert all(isinstance(document, Table) for document in documents)
    return documents  # type: ignore[return-value]


def refused(path: Path, data: bytes | str | None = None) -> str:
    with pytest.raises(UnreadableFileError) as caught:
        read(path, data)
    message = str(caught.value)
    assert str(path) in message and message.endswith(".") and "\n" not in message
    return message


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_a_csv_is_found_out(tmp_path: Path, delimiter: str) -> None:
    lines = [["city", "price", "note"], ["Bern", "1,5", "a; b | c"], ["Rom", "2,25", "d, e"]]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(lines)
    (table,) = read(tmp_path / "a.csv", text.getvalue())
    assert [table.header, *table.rows] == lines
    assert (table.id, table.title, table.metadata["file"]) == ("a.csv", "a", "a.csv")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2), max_size=5),
    suffix=st.sampled_from(["csv", "tsv"]),
)
def test_cells_of_every_kind_come_out_as_they_went_in(tmp_path: Path, rows: list[list[str]], suffix: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t" if suffix == "tsv" else ",", quoting=csv.QUOTE_ALL)
    writer.writerows([["left side", "right side"], *rows])
    (table,) = read(tmp_path / f"a.{suffix}", text.getvalue())
    assert table.rows == rows


def test_a_cell_of_a_megabyte_is_read_and_the_limit_of_csv_stays_as_it_was(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    (table,) = read(tmp_path / "a.csv", "a,b\n" + "x" * 1_000_000 + ",1\n")
    assert len(table.rows[0][0]) == 1_000_000 and csv.field_size_limit() == before


def test_a_ragged_row_is_named_with_its_line_and_both_widths(tmp_path: Path) -> None:
    message = refused(tmp_path / "a.csv", 'a,b\n"two\nlines",2\n\n1,2,3\n')
    assert "line 5 has 3 cells, but the header has 2" in message
    assert "line 2 has 3 cells" in refused(tmp_path / "d.csv", 'a,b\n1,2,"th\nree"\n')
    assert "line 2 has 1 cell, but the header has 2" in refused(tmp_path / "b.csv", "a;b\nx\n")
    assert "line 3 has 1 cell" in refused(tmp_path / "c.tsv", "a\tb\n1\t2\n1 2\n")


def test_an_unclosed_quote_is_refused_where_it_begins(tmp_path: Path) -> None:
    assert "line 3" in refused(tmp_path / "a.csv", 'a,b\n1,2\n3,"4\n5,6\n')


def test_quotes_of_a_tsv_are_letters_where_they_are_not_balanced(tmp_path: Path) -> None:
    assert read(tmp_path / "a.tsv", 'a\tb\n"5 inch\t1\n')[0].rows == [['"5 inch', "1"]]
    assert read(tmp_path / "b.tsv", 'a\tb\n"5\tinch"\t1\n')[0].rows == [["5\tinch", "1"]]


def test_a_csv_that_is_not_utf8_is_read_as_cp1252_and_says_so(tmp_path: Path) -> None:
    (table,) = read(tmp_path / "a.csv", "größe,€\n1,2\n".encode("cp1252"))
    assert table.header == ["größe", "€"] and table.metadata["encoding"] == "cp1252"
    (table,) = read(tmp_path / "b.csv", "größe,€\n1,2\n".encode("utf-8-sig"))
    assert table.header == ["größe", "€"] and "encoding" not in table.metadata
    assert "UTF-8" in refused(tmp_path / "c.csv", b"a,b\n\x81,\x8d\n")
    assert "binary" in refused(tmp_path / "d.csv", "a,b\n".encode("utf-16-le"))


def test_columns_get_names_of_their_own(tmp_path: Path) -> None:
    (table,) = read(tmp_path / "a.csv", "x,,x, y ,,\n1,2,3,4,,\n")
    assert table.header == ["x", "column 2", "x (2)", "y"]  # and a column without name and values is none
    assert table.rows == [["1", "2", "3", "4"]]


@given(st.lists(st.sampled_from(["", " ", "a", "a (2)", "column 1", "column 2", "b"]), max_size=8))
def test_no_two_columns_share_a_name_and_good_names_stay(header: list[str]) -> None:
    named = name_columns(header)
    assert len(set(named)) == len(named) == len(header) and all(named)
    for name in {cell.strip() for cell in header} - {""}:
        assert named[[cell.strip() for cell in header].index(name)] == name


@pytest.mark.parametrize("data", ["\n\n", ",,\n1,2,3\n"])
def test_a_csv_without_a_header_is_refused(tmp_path: Path, data: str) -> None:
    assert "header" in refused(tmp_path / "a.csv", data)


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    (table,) = read(tmp_path / "a.csv", "a,b")
    assert (table.header, table.rows) == (["a", "b"], [])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (0.1 + 0.2, "0.3"),
        (1e300, "1e+300"),
        (-2.50, "-2.5"),
        (float("nan"), ""),
        (None, ""),
        (True, "TRUE"),
        (dt.datetime(2024, 3, 1), "2024-03-01"),
        (dt.datetime(2024, 3, 1, 9, 30), "2024-03-01T09:30:00"),
        (dt.date(2024, 3, 1), "2024-03-01"),
        (dt.time(9, 5), "09:05:00"),
        ({"a": [1, dt.date(2024, 3, 1)]}, '{"a": [1, "2024-03-01"]}'),
        (12345678901234567890, "12345678901234567890"),
    ],
)
def test_values_read_as_in_a_spreadsheet(value: object, text: str) -> None:
    assert cell_text(value) == text


def test_every_sheet_with_content_is_a_table(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    first = book.worksheets[0]
    first.title = "Prices 2024"
    first.append([])
    for row in (
        ["item", "price", "since"],
        ["pen", 2.0, dt.datetime(2024, 3, 1)],
        [" ", ""],
        ["ink", 3.25, None, "extra"],
    ):
        first.append(row)
    book.create_sheet("Empty")
    book.create_sheet("Other").append(["only a header"])
    book.save(tmp_path / "a.xlsx")
    prices, other = read(tmp_path / "a.xlsx")
    assert prices.id == "a.xlsx#sheet=Prices 2024" and prices.section == prices.metadata["sheet"] == "Prices 2024"
    assert prices.header == ["item", "price", "since", "column 4"]
    assert prices.rows == [["pen", "2", "2024-03-01", ""], ["ink", "3.25", "", "extra"]]
    assert (other.header, other.rows) == (["only a header"], [])


def test_a_formula_gives_its_computed_value(tmp_path: Path) -> None:
    import re
    import zipfile

    import openpyxl

    book = openpyxl.Workbook()
    for row in (["a", "sum"], [1, "=A2+41"]):
        book.worksheets[0].append(row)
    book.save(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "a.xlsx") as old, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as new:
        for name in old.namelist():
            part = old.read(name)
            if name.endswith("sheet1.xml"):
                part, count = re.subn(rb"</f><v ?/>|</f><v></v>", b"</f><v>42</v>", part)
                assert count == 1
            new.writestr(name, part)
    assert read(tmp_path / "b.xlsx")[0].rows == [["1", "42"]]


def test_a_cell_far_out_costs_no_memory(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet["A1"], sheet["A2"], sheet["XFD50000"] = "a", 1, "far"
    book.save(tmp_path / "a.xlsx")
    (table,) = read(tmp_path / "a.xlsx")
    assert (table.header, table.rows) == (["a", "column 16384"], [["1", ""], ["", "far"]])


def test_damaged_and_empty_workbooks_are_one_sentence(tmp_path: Path) -> None:
    import zipfile

    import openpyxl

    openpyxl.Workbook().save(tmp_path / "a.xlsx")
    assert "empty" in refused(tmp_path / "a.xlsx")
    assert "no xlsx" in refused(tmp_path / "b.xlsx", (tmp_path / "a.xlsx").read_bytes()[:900])
    with zipfile.ZipFile(tmp_path / "c.xlsx", "w") as archive:
        archive.writestr("x", "y")
    assert "damaged" in refused(tmp_path / "c.xlsx")


def test_parquet_is_a_table(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = [pa.array(["x", None]), pa.array([1.0, 2.5]), pa.array([[1], []]), pa.array([dt.date(2024, 3, 1), None])]
    parquet.write_table(pa.table(columns, names=["a", "a", "c", "d"]), tmp_path / "a.parquet")
    (table,) = read(tmp_path / "a.parquet")
    assert table.header == ["a", "a (2)", "c", "d"]
    assert table.rows == [["x", "1", "[1]", "2024-03-01"], ["", "2.5", "[]", ""]]
    assert "damaged" in refused(tmp_path / "b.parquet", b"PAR1 no parquet PAR1")
    assert "damaged" in refused(tmp_path / "c.parquet", (tmp_path / "a.parquet").read_bytes()[:-5])
