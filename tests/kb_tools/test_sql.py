"""Tables in SQL: what they are called, what questions over them find, and when they must be built again."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kb_tools.documents import Table
from kb_tools.errors import KBInputError, KBStorageError, SQLError
from kb_tools.sql import Cell, TableDatabase

CITIES = Table(
    id="b",
    title="Cities",
    section="Largest",
    header=["#", "City", "From", "People", "City", "Founded"],
    rows=[
        ["1", "Oslo", "N", "709,037", "capital", "1 January 1048"],
        ["2", "Bergen", "N", "291,940", "", "2 March 1070"],
        ["3", "São Paulo", "BR", "12,300,000", "-", "January 25 , 1554"],
        *[[str(row), f"Town {row}", "X", "10", "", "3 May 1900"] for row in range(4, 13)],
        ["13", "Atlantis", "", "many*", "myth", ""],
    ],
)
RIVERS = Table(id="a", title="Cities", section="Largest", header=["1911", ""], rows=[["Glomma", "x"]])


@pytest.fixture(params=["file", "memory"])
def database(request, tmp_path):
    database = TableDatabase(tmp_path / "odd ?#% name" / "tables.sqlite" if request.param == "file" else None)
    database.build([CITIES, RIVERS], "v1")
    yield database
    database.close()


@pytest.fixture(scope="module")
def ottqa(data):
    lines = [json.loads(line) for line in (data / "ottqa" / "tables.jsonl").read_text("utf-8").splitlines()]
    tables = [
        Table(**{key: raw[key] for key in ("id", "title", "section", "header", "rows", "links")}) for raw in lines
    ]
    database = TableDatabase(None)
    database.build(tables, "v1")
    yield database, {table.id: table for table in tables}
    database.close()


def test_names_are_deterministic_unique_and_need_no_quotes(database):
    first, second = database.schema()
    assert [(first.name, first.table_id), (second.name, second.table_id)] == [
        ("cities_largest", "a"),
        ("cities_largest_2", "b"),
    ]
    assert [column.name for column in first.columns] == ["_row", "c_1911", "unnamed_column"]
    assert [(column.name, column.type) for column in second.columns] == [
        ("_row", "INTEGER"), ("number", "INTEGER"), ("city", "TEXT"), ("from_", "TEXT"), ("people", "INTEGER"),
        ("people_text", "TEXT"), ("city_2", "TEXT"), ("founded", "TEXT"), ("founded_iso", "TEXT"),
    ]  # fmt: skip
    assert second.rows == 13
    assert database.schema("b") == database.schema("cities_largest_2") == [second]


def test_an_aggregate_gives_the_sum_that_a_hand_gives(database):
    # 709,037 + 291,940 + 12,300,000 + 9 towns of 10; `many*` counts for nothing and is still there as text
    result = database.query("SELECT sum(people), max(people), count(people), count(*) FROM cities_largest_2")
    assert result.rows == [[13_301_067, 12_300_000, 12, 13]]
    assert result.columns == ["sum(people)", "max(people)", "count(people)", "count(*)"]
    assert database.query("SELECT people_text FROM cities_largest_2 WHERE people IS NULL").rows == [["many*"]]


def test_a_german_column_adds_up_to_what_the_sheet_says():
    rows = [["Berlin", "3.769.495", "891,8"], ["Hamburg", "1.841.179", "755,1"], ["Bonn", "-", "1.141,0"]]
    rows += [["Essen", "12", f"{row},5 %"] for row in range(7)] + [["Jena", "12", "k. A."]]
    database = TableDatabase(None)
    database.build([Table(id="t", title="Orte", header=["Ort", "Leute", "Preis"], rows=rows)], "v1")
    assert [column.type for column in database.schema("t")[0].columns[2:]] == ["INTEGER", "REAL", "TEXT"]
    sums = database.query("SELECT sum(leute), round(sum(preis), 6) FROM orte")
    assert sums.rows == [[3_769_495 + 1_841_179 + 8 * 12, 2787.9 + 24.5]]
    assert database.query("SELECT preis_text FROM orte WHERE preis IS NULL").rows == [["k. A."]]
    database.close()


def test_dates_compare_and_keep_their_words(database):
    oldest = "SELECT city, founded FROM cities_largest_2 WHERE founded_iso < '1600' ORDER BY founded_iso DESC LIMIT 1"
    assert database.query(oldest).rows == [["São Paulo", "January 25 , 1554"]]


def test_blank_cells_are_null_and_other_text_is_as_written(database):
    assert database.query("SELECT city_2 FROM cities_largest_2 WHERE _row < 3 ORDER BY _row").rows == [
        ["capital"],
        [None],
        ["-"],
    ]


def test_a_model_can_find_its_way_by_sql_alone(database):
    found = database.query("SELECT name, table_id, section, rows FROM _tables WHERE title LIKE 'cit%'")
    assert found.rows == [["cities_largest", "a", "Largest", 1], ["cities_largest_2", "b", "Largest", 13]]
    columns = database.query("SELECT name, header FROM _columns WHERE table_name = 'cities_largest'")
    assert columns.rows == [["_row", ""], ["c_1911", "1911"], ["unnamed_column", ""]]
    assert database.query("SELECT count(*) FROM sqlite_master WHERE name = 'cities_largest'").rows == [[1]]


def test_an_unknown_table_in_the_schema_names_the_nearest(database):
    with pytest.raises(SQLError, match="nearest names are cities_largest"):
        database.schema("Cities Larges")


def test_the_stamp_says_what_was_built(tmp_path):
    database = TableDatabase(tmp_path / "t.sqlite")
    assert database.stamp is None
    with pytest.raises(SQLError, match="no SQL tables yet"):
        database.query("SELECT 1")
    database.build([CITIES], "one")
    assert TableDatabase(tmp_path / "t.sqlite").stamp == "one"
    database.build([], "two")
    assert (database.stamp, database.schema()) == ("two", [])
    assert [path.name for path in tmp_path.iterdir()] == ["t.sqlite"]


@pytest.mark.parametrize("content", [b"", b"no database at all, and longer than a header" * 50])
def test_a_damaged_file_has_no_stamp_and_can_be_built_again(tmp_path, content):
    path = tmp_path / "t.sqlite"
    path.write_bytes(content)
    database = TableDatabase(path)
    assert database.stamp is None
    with pytest.raises(SQLError, match="must be built again"):
        database.query("SELECT 1")
    database.build([CITIES], "v1")
    assert database.stamp == "v1"


def test_another_layout_is_stale_whatever_its_stamp(tmp_path):
    database = TableDatabase(tmp_path / "t.sqlite")
    database.build([CITIES], "v1")
    with sqlite3.connect(tmp_path / "t.sqlite") as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    assert database.stamp is None


def test_a_build_that_fails_leaves_the_old_tables(database, tmp_path):
    def broken():
        yield CITIES
        raise RuntimeError("the reader died")

    files = sorted(tmp_path.rglob("*"))
    with pytest.raises(RuntimeError):
        database.build(broken(), "v2")
    assert database.stamp == "v1"
    assert len(database.schema()) == 2
    assert sorted(tmp_path.rglob("*")) == files


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KBStorageError, match="cannot be written"):
        TableDatabase(tmp_path / "file" / "t.sqlite").build([CITIES], "v1")


def test_threads_read_while_another_builds(database):
    def read(_):
        return database.query("SELECT count(*) FROM cities_largest").rows, len(database.cells("oslo"))

    with ThreadPoolExecutor(4) as threads:
        reads = threads.map(read, range(60))
        for version in range(5):
            database.build([CITIES, RIVERS], f"v{version}")
        assert set(map(str, reads)) == {"([[1]], 1)"}
    assert database.stamp == "v4"


def test_cells_finds_the_equal_value_first_and_says_where_it_is(database):
    assert database.cells("OSLO") == [Cell("Oslo", "b", "Cities", "City", 1)]
    assert database.cells("sao paulo")[0].value == "São Paulo"
    town = database.cells("town 5", limit=3)
    assert town[0] == Cell("Town 5", "b", "Cities", "City", 1)
    assert len(town) == 3
    assert database.cells("3  may 1900", limit=1) == [Cell("3 May 1900", "b", "Cities", "Founded", 9)]


def test_case_and_spaces_beside_signs_do_not_keep_equal_cells_apart():
    database = TableDatabase(None)
    rows = [["st . viator"], ["St. Viator"], ["St. Viator"], ["St. Viator College"]]
    database.build([Table(id="t", header=["h"], rows=rows)], "v1")
    assert [(cell.value, cell.count) for cell in database.cells("St. Viator", limit=2)] == [
        ("St. Viator", 2),
        ("st . viator", 1),
    ]
    database.close()


@pytest.mark.parametrize(
    "query",
    ['"', '""', "a AND", "NOT", "NEAR(", "value:x", "*", "^oslo", "-", "a\0b", "{", "(", "'; DROP TABLE x", "\ud800",
     "x" * 100_000, "or " * 5000],
)  # fmt: skip
def test_no_query_for_cells_is_syntax(database, query):
    assert isinstance(database.cells(query), list)


@pytest.mark.parametrize(("query", "limit"), [("", 5), (" \n", 5), ("x", 0)])
def test_a_blank_query_for_cells_is_an_input_error(database, query, limit):
    with pytest.raises(KBInputError):
        database.cells(query, limit)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_table_comes_back_as_it_went_in(data):
    width = data.draw(st.integers(1, 3))
    texts = st.text(max_size=20)
    header = data.draw(st.lists(texts, min_size=width, max_size=width))
    rows = data.draw(st.lists(st.lists(st.just("x") | texts, min_size=width, max_size=width), min_size=1, max_size=4))
    # A letter in every column keeps it a text column, whose cells are as written.
    rows.append(["letter"] * width)
    rows.append(["letters"] * width)
    title = data.draw(texts)
    database = TableDatabase(None)
    database.build([Table(id="t", title=title, header=header, rows=rows)], "v1")
    (table,) = database.schema()
    assert [column.header for column in table.columns if column.type == "TEXT"] == header
    # Without quotes: every name is one that sqlite takes.
    names = ", ".join(column.name for column in table.columns if column.type == "TEXT")
    written = database.query(f"SELECT {names} FROM {table.name} ORDER BY {table.name}._row").rows
    assert written == [[cell if cell.strip() else None for cell in row] for row in rows]
    for cell in {cell for row in rows for cell in row if cell.strip().strip("-−–—")}:
        assert cell in [found.value for found in database.cells(cell, limit=100)]
    database.close()


def test_what_is_longer_than_sqlite_reads_is_clipped_and_the_rest_is_there():
    database = TableDatabase(None)
    wide = Table(id="w", title="wide", header=[f"h{n}" for n in range(1500)], rows=[["1"] * 1500])
    long = Table(id="l", title="long", header=["a", "b"], rows=[["é" * 1_000_000, "7"]])
    database.build([wide, long], "v1")
    assert database.query("SELECT length(a), b FROM long").rows == [[10_000, 7]]
    assert database.query("SELECT h0, h998 FROM wide").rows == [[1, 1]]
    assert len(database.schema("wide")[0].columns) == 1000
    database.close()


@pytest.mark.data
def test_every_real_table_can_be_read_by_its_name(ottqa):
    database, tables = ottqa
    schema = database.schema()
    assert [table.table_id for table in schema] == sorted(tables)
    assert len({table.name for table in schema}) == len(tables)
    for table in schema[::20]:
        names = ", ".join(column.name for column in table.columns)
        assert len(database.query(f"SELECT {names} FROM {table.name}").rows) == table.rows


@pytest.mark.data
def test_a_real_aggregate_equals_the_one_over_the_source(ottqa):
    database, tables = ottqa
    name = "t_1911_notre_dame_fighting_irish_football_team_schedule"
    source = tables["1911_Notre_Dame_Fighting_Irish_football_team_0"]
    # By hand: six of the eight results begin with W, two with T.
    wins = database.query(f"SELECT substr(result, 1, 1) r, count(*) FROM {name} GROUP BY r ORDER BY r").rows
    assert wins == [["T", 2], ["W", 6]]
    assert database.cells("Cartier Field South Bend, IN")[0].count == sum(
        row[2] == "Cartier Field South Bend , IN" for row in source.rows
    )
