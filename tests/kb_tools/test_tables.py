"""Types of columns, the texts that stand for a table, and which rows a reader is shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb_tools.documents import Table, render_table
from kb_tools.errors import KBInputError
from kb_tools.tables import (
    block_text,
    card,
    embedding_text,
    excerpt,
    is_empty,
    is_small,
    parse_date,
    parse_decimal_comma,
    parse_number,
    profile,
    row_blocks,
    row_text,
)

STADIUMS = Table(
    id="s",
    title="Stadiums of Norway",
    section="Current",
    header=["Name", "Capacity", "Share", "Opened", ""],
    rows=[
        ["Lerkendal", "21,421", "12.5 %", "10 August 1947", "x"],
        ["Ullevaal", "28,000", "—", "September 26 , 1926", ""],
        ["Brann", "17,686", "+3", "1919-05-25", ""],
        ["Old one", "-", "", "", ""],
    ],
)


def numbered(rows: int, cell: str = "c") -> Table:
    return Table(id="n", title="N", header=["i", "x"], rows=[[str(row), cell] for row in range(rows)])


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1,234", 1234), ("12 %", 12), ("$ 38,496", 38496), ("−3.00%", -3.0), ("+ 23", 23), ("–7", -7),
        (".5", 0.5), ("€1.25", 1.25), ("$-4", -4), (" 0 ", 0), ("1,234,567.5", 1234567.5), ("100 €", 100),
    ],
)  # fmt: skip
def test_a_plain_number_is_read_with_its_type(cell, number):
    assert parse_number(cell) == number
    assert type(parse_number(cell)) is type(number)


@pytest.mark.parametrize(
    "cell",
    ["", "-", "—", "%", "$", "( 3 )", "2007†", "W 32-6", "21,80%", "1,2345", "007", "3-2", "--3", "+-3", "1e5", "nan",
     "inf", "٣", "½", "1 2", "9" * 19, "1.", "0x10", "1_000", " " * 1_000_000 + "x" + "1"],
)  # fmt: skip
def test_what_is_more_or_less_than_one_plain_number_is_none(cell):
    assert parse_number(cell) is None


@given(st.integers(-(10**17), 10**17))
def test_numbers_survive_thousands_commas(number):
    assert parse_number(f"{number:,}") == parse_number(f" {number} %") == number


@given(st.text())
def test_any_cell_is_parsed_without_an_error(cell):
    assert isinstance(parse_number(cell), int | float | None)
    parse_date(cell)
    if is_empty(cell):
        assert parse_number(cell) is None


@pytest.mark.parametrize(
    ("cell", "iso"),
    [
        ("25 March 2001", "2001-03-25"),
        ("March 22 , 1996", "1996-03-22"),
        ("Nov. 18 , 2014", "2014-11-18"),
        ("2017-09-30", "2017-09-30"),
        ("( 1991-01-20 ) January 20 , 1991 ( aged 32 )", "1991-01-20"),
        ("04/08/2009", None),
        ("31 June 2001", None),
        ("October 7", None),
        ("2 Foo 2001", None),
    ],
)
def test_a_date_is_read_only_where_it_cannot_be_misread(cell, iso):
    date = parse_date(cell)
    assert (date.isoformat() if date else None) == iso


def test_profile_gives_type_range_variety_and_gaps():
    name, capacity, share, opened, unnamed = profile(STADIUMS)
    assert (name.type, name.low, name.high, name.distinct) == ("text", "", "", 4)
    assert (capacity.type, capacity.low, capacity.high, capacity.empty) == ("integer", "17686", "28000", 1)
    assert (share.type, share.low, share.high, share.empty) == ("real", "3", "12.5", 2)
    assert (opened.type, opened.low, opened.high) == ("date", "1919-05-25", "1947-08-10")
    assert (unnamed.type, unnamed.examples, unnamed.empty) == ("text", ["x"], 3)


@pytest.mark.parametrize(("odd", "kind"), [(1, "integer"), (2, "text")])
def test_a_column_is_numeric_from_nine_cells_in_ten(odd, kind):
    cells = ["7"] * (10 - odd) + ["7*"] * odd + [""] * 50
    table = Table(id="t", header=["h"], rows=[[cell] for cell in cells])
    assert profile(table)[0].type == kind


@pytest.mark.parametrize(
    ("cells", "kind", "low", "high"),
    [
        (["3.769.495", "1.841.179"], "integer", "1841179", "3769495"),
        (["891,8", "1.234", "7"], "real", "7", "1234"),
        (["−1.234,5 €", "12 %", "-"], "real", "-1234.5", "12"),
        # Either way is possible, so English.
        (["1.234", "2.500"], "real", "1.234", "2.5"),
        (["1,234", "2,500"], "integer", "1234", "2500"),
        # As many cells speak for one as for the other.
        (["2.5", "2,5"], "text", "", ""),
        # More for English: one cell in ten may be anything.
        (["2.5"] * 9 + ["2,5"], "real", "2.5", "2.5"),
        # More for the comma, in too few cells.
        (["2,5"] * 8 + ["a", "b"], "text", "", ""),
        (["2,5"] * 9 + ["a"], "real", "2.5", "2.5"),
        (["1.2.2020", "3.4.2021"], "text", "", ""),
        (["1.10", "2.3.1"], "text", "", ""),
    ],
)
def test_cells_that_can_be_read_one_way_only_decide_how_a_column_is_read(cells, kind, low, high):
    (column,) = profile(Table(id="t", header=["h"], rows=[[cell] for cell in cells]))
    assert (column.type, column.low, column.high) == (kind, low, high)


@given(st.integers(-(10**17), 10**17), st.integers(0, 99))
def test_numbers_survive_being_written_the_continental_way(number, cents):
    written = f"{number:,}.{cents:02}".translate(str.maketrans(",.", ".,"))
    assert parse_decimal_comma(written) == parse_number(f"{number:,}.{cents:02}")


def test_a_column_without_cells_is_text():
    assert [column.type for column in profile(Table(id="t", header=["a"], rows=[]))] == ["text"]
    assert [column.type for column in profile(Table(id="t", header=["a"], rows=[["-"]]))] == ["text"]


def test_the_embedding_text_has_the_measured_layout():
    table = Table(
        id="t", title="T", section="S", header=["h1", "h2"], rows=[["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]]
    )
    assert embedding_text(table) == "T. S. columns: h1, h2. a, b; c, d; e, f"
    assert embedding_text(table.model_copy(update={"caption": "C"})) == "T. S. C. columns: h1, h2. a, b; c, d; e, f"
    assert embedding_text(Table(id="t", header=["h1"], rows=[])) == "columns: h1"


def test_a_card_has_title_and_columns_first_and_types_and_ranges():
    lines = card(STADIUMS, sample_rows=1).splitlines()
    assert lines == [
        "Stadiums of Norway. Current",
        "columns: Name, Capacity, Share, Opened, ",
        "Lerkendal, 21,421, 12.5 %, 10 August 1947, x",
        "4 rows",
        "- Name: text, 4 distinct",
        "- Capacity: integer, 17686 to 28000, 3 distinct, 1 empty",
        "- Share: real, 3 to 12.5, 2 distinct, 2 empty",
        "- Opened: date, 1919-05-25 to 1947-08-10, 3 distinct, 1 empty",
        "- : text, 1 distinct, 3 empty",
    ]


def test_a_card_stays_short_beside_a_cell_that_is_a_biography():
    assert len(card(numbered(3, "long " * 10_000))) < 500


def test_a_row_says_its_title_and_leaves_out_empty_cells():
    assert (
        row_text(STADIUMS, 0)
        == "Stadiums of Norway. Current. Name: Lerkendal; Capacity: 21,421; Share: 12.5 %; Opened: 10 August 1947; x"
    )
    assert row_text(STADIUMS, 3) == "Stadiums of Norway. Current. Name: Old one"


def test_a_block_of_one_row_is_that_row():
    assert block_text(STADIUMS, range(2, 3)) == row_text(STADIUMS, 2)
    assert block_text(STADIUMS, range(2, 4)).endswith("\nName: Old one")


@given(st.integers(0, 700), st.integers(1, 90))
def test_blocks_cover_every_row_once_in_order_and_evenly(rows, most):
    blocks = row_blocks(numbered(rows), most)
    assert [row for block in blocks for row in block] == list(range(rows))
    assert len(blocks) == min(rows, most)
    assert {len(block) for block in blocks} <= {rows // max(len(blocks), 1), rows // max(len(blocks), 1) + 1}


def test_a_row_is_a_block_up_to_two_thousand_rows():
    assert len(row_blocks(numbered(2000))) == 2000
    assert len(row_blocks(numbered(2001))) == 2000


def test_a_table_is_small_within_forty_rows_and_four_thousand_characters():
    assert is_small(numbered(40))
    assert not is_small(numbered(41))
    assert not is_small(numbered(2, "x" * 2000))


def test_a_small_table_is_shown_whole():
    shown = excerpt(STADIUMS, [2])
    assert shown == "Stadiums of Norway. Current\n" + render_table(STADIUMS.header, STADIUMS.rows)


def test_of_a_large_table_the_matching_rows_are_shown_in_table_order():
    lines = excerpt(numbered(240), [17, 3, 5, 4, 17]).splitlines()
    assert lines == ["N", "rows 3-5, 17 of 240", "| i | x |", "| --- | --- |"] + [
        f"| {row} | c |" for row in (3, 4, 5, 17)
    ]
    assert excerpt(numbered(240), []).splitlines()[1] == "none of 240 rows shown"


@pytest.mark.parametrize("row", [-1, 240])
def test_a_row_that_is_not_there_is_an_input_error(row):
    with pytest.raises(KBInputError, match=f"no row {row}: it has 240"):
        row_text(numbered(240), row)
    with pytest.raises(KBInputError, match="no row"):
        excerpt(numbered(240), [row])
    with pytest.raises(KBInputError, match="at least 1"):
        row_blocks(numbered(3), 0)


@pytest.mark.data
def test_every_real_table_has_a_card_rows_and_an_excerpt(data):
    kinds = set()
    for line in (data / "ottqa" / "tables.jsonl").read_text("utf-8").splitlines():
        raw = json.loads(line)
        table = Table(**{key: raw[key] for key in ("id", "title", "section", "header", "rows", "links")})
        kinds |= {column.type for column in profile(table)}
        assert embedding_text(table).startswith(f"{table.title}. {table.section}. columns: ".replace(". . ", ". "))
        assert f"{len(table.rows)} rows" in card(table)
        for row in range(len(table.rows)):
            assert row_text(table, row).startswith(table.title)
        assert table.title in excerpt(table, [0])
    assert kinds == {"integer", "real", "date", "text"}
