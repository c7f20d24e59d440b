"""What a statement over the tables must not do, how it is stopped, and how a refusal reads."""

import sqlite3
import threading
import time

import pytest

from kb_tools.documents import Table
from kb_tools.errors import KBInputError, SQLError
from kb_tools.sql import TableDatabase
from kb_tools.sql_sandbox import expansions, tokenize, with_queries

FOREVER = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


@pytest.fixture(params=["file", "memory"])
def database(request, tmp_path):
    database = TableDatabase(tmp_path / "tables.sqlite" if request.param == "file" else None)
    cities = [[f"Town {row}", str(row)] for row in range(13)]
    database.build(
        [
            Table(id="a", title="Cities", section="Largest", header=["1911", ""], rows=[["Glomma", "x"]]),
            Table(id="b", title="Cities", section="Largest", header=["City", "People"], rows=cities),
        ],
        "v1",
    )
    yield database
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1;", "-- why\nSELECT 1", "VALUES (1)", "WITH c AS (SELECT 1) SELECT count(*) FROM C",
        "EXPLAIN SELECT 1", "SELECT count(*) FROM CITIES_LARGEST", "SELECT upper(trim(' a ', ' ')) || round(2.5)",
        "SELECT rank() OVER w FROM cities_largest_2 WINDOW w AS (ORDER BY people)",
        "SELECT * FROM (SELECT city c FROM cities_largest_2 UNION SELECT 'x') WHERE c GLOB 'T*'",
    ],
)  # fmt: skip
def test_reading_statements_are_allowed(database, statement):
    assert database.query(statement).rows


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM cities_largest", "INSERT INTO cities_largest VALUES (1, 2, 3)",
        "UPDATE cities_largest SET _row = 2",
        "DROP TABLE cities_largest", "CREATE TABLE x (a)", "CREATE TEMP TABLE x (a)", "CREATE TEMP VIEW v AS SELECT 1",
        "ALTER TABLE cities_largest RENAME TO x", "ATTACH ':memory:' AS x", "ATTACH 'stolen.db' AS x", "DETACH main",
        "VACUUM", "VACUUM INTO 'copy.db'", "REINDEX", "ANALYZE", "BEGIN", "COMMIT", "SAVEPOINT s",
        "WITH c AS (SELECT 1) DELETE FROM cities_largest", "REPLACE INTO _tables (name) VALUES ('x')",
        "PRAGMA query_only = OFF", "PRAGMA journal_mode", "PRAGMA hard_heap_limit = 1",
        "CREATE VIRTUAL TABLE x USING fts5 (a)", "INSERT INTO _cells_fts (_cells_fts) VALUES ('delete-all')",
    ],
)  # fmt: skip
def test_what_is_no_reading_is_refused_as_read_only(database, tmp_path, statement):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SQLError, match="read-only"):
        database.query(statement)
    assert sorted(tmp_path.rglob("*")) == before
    assert database.query("SELECT count(*) FROM cities_largest").rows == [[1]]


@pytest.mark.parametrize(
    "call",
    ["load_extension('x')", "readfile('/etc/passwd')", "writefile('x', 'y')", "edit('x')", "fts3_tokenizer('simple')",
     "zeroblob(1000000000)", "randomblob(1000000000)", "FTS5(1)", "sqlite_compileoption_get(0)", "eval('1')"],
)  # fmt: skip
def test_functions_that_do_more_than_compute_are_refused(database, call):
    with pytest.raises(SQLError, match=r"not available here|No such function"):
        database.query(f"SELECT {call}")


@pytest.mark.parametrize(
    "source",
    ["_cells", "_cells_fts", "_cells_fts_data", "_meta", "dbstat", "sqlite_stmt", "pragma_table_info('_tables')",
     "pragma_database_list", "json_each('[1]')", "main._meta", "fts5vocab"],
)  # fmt: skip
@pytest.mark.parametrize("what", ["*", "count(*)"])
def test_only_the_tables_can_be_read(database, source, what):
    with pytest.raises(SQLError):
        database.query(f"SELECT {what} FROM {source}")


def test_a_with_query_lends_its_name_to_no_hidden_table(database):
    with pytest.raises(SQLError, match="cannot be read"):
        database.query("WITH _cells AS (SELECT 1) SELECT value FROM main._cells")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("", "empty"),
        (" ;\n; ", "empty"),
        ("/* nothing", "empty"),
        ("SELEC 1", 'Near "SELEC": syntax error'),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT * FROM city_largest", "No such table: city_largest; .*cities_largest"),
        ("SELECT * FROM largest", "No such table: largest; .*cities_largest_2"),
        ("SELECT population FROM cities_largest", "No such column: population; cities_largest has _row, c_1911"),
        ("SELECT nosuch(1)", "No such function: nosuch"),
        ("SELECT 1\0", "null character"),
        ("SELECT '\ud800'", "surrogates"),
        ("SELECT ?", "bindings"),
        ("SELECT 1" + " " * 20_000, "20,000"),
        ("SELECT " + "(" * 300 + "1" + ")" * 300, "too large|stack overflow"),
        ("SELECT " + ",".join(["1"] * 1500), "Too many columns"),
        ("SELECT group_concat(hex(printf('%.*c', 9000, 'x'))) FROM cities_largest_2", "too big"),
        ("SELECT " + ",".join(["printf('%.*c', 49000, 'x')"] * 20), "A row has 980,000 characters"),
    ],
)
def test_a_refusal_is_one_line_that_says_why(database, statement, message):
    with pytest.raises(SQLError, match=message) as refusal:
        database.query(statement)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value)[0].isupper()
    assert str(refusal.value).endswith(".")
    assert not str(refusal.value).endswith("..")
    assert len(str(refusal.value)) < 400


@pytest.fixture(scope="module")
def prices():
    # `price` is text: half of it is words. `note` is text that holds plain numbers, and a word in one row only.
    rows = [["7", "891,8", "12"], ["8", "3.769.495", " 1.5e1 "], ["9", "none", ""], ["10", "free", "0"]]
    rows += [["11", "1.5 EUR", "x"], ["12", "gone", "y"]]
    database = TableDatabase(None)
    database.build([Table(id="p", title="p", header=["n", "price", "note"], rows=rows)], "v1")
    assert [column.type for column in database.schema("p")[0].columns] == ["INTEGER", "INTEGER", "TEXT", "TEXT"]
    yield database
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT sum(price) FROM p", "SELECT Avg(price) FROM p", "SELECT TOTAL(DISTINCT price) FROM p",
        "SELECT sum(note) FROM p",
        "SELECT s FROM (SELECT sum(price) s FROM p)", "WITH w AS (SELECT price v FROM p) SELECT \"sum\"(v) FROM w",
        "SELECT n, sum(price) OVER (ORDER BY n) FROM p", "SELECT n FROM p GROUP BY n HAVING sum(price) > 5",
        "SELECT sum(price) FILTER (WHERE n = 7) FROM p", "SELECT sum(replace(price, ',', '.')) FROM p",
        "SELECT n, (SELECT sum(q.price) FROM p q WHERE q.n <= p.n) FROM p",
    ],
)  # fmt: skip
def test_text_that_is_no_number_is_never_added_up(prices, statement):
    with pytest.raises(SQLError, match=r"^(SUM|AVG|TOTAL) met '.*', which is text .* CAST\(REPLACE\(.*\.$"):
        prices.query(statement)


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("SELECT price, sum(n) FROM p WHERE price GLOB '8*' GROUP BY price", [["891,8", 7]]),
        ("SELECT sum(note), avg(note), total(note) FROM p WHERE n < 9", [[27.0, 13.5, 27.0]]),
        ("SELECT sum(note) FROM p WHERE n IN (7, 9, 10)", [[12]]),
        ("SELECT sum(CAST(replace(replace(price, '.', ''), ',', '.') AS REAL)) FROM p WHERE n < 9", [[3770386.8]]),
        ("SELECT sum(price), total(price), total(n) FROM p WHERE price = 'x'", [[None, 0.0, 0.0]]),
        ("SELECT sum(n), avg(length(price)), sum(price = 'none') FROM p", [[57, 5.5, 1]]),
        ("SELECT sum(n) OVER (ORDER BY n ROWS 1 PRECEDING) FROM p WHERE note <> 'q' LIMIT 2", [[7], [15]]),
        ("SELECT sum(CAST(note AS INTEGER)) OVER (ORDER BY n ROWS 1 PRECEDING) FROM p WHERE n < 9", [[12], [13]]),
    ],
)  # fmt: skip
def test_sums_of_numbers_beside_text_are_those_of_sqlite(prices, statement, rows):
    assert prices.query(statement).rows == rows


def test_a_statement_that_does_not_end_is_stopped_in_time(database):
    start = time.monotonic()
    with pytest.raises(SQLError, match=r"Stopped after 0\.2 s"):
        database.query(FOREVER, timeout_s=0.2)
    assert time.monotonic() - start < 2
    assert database.query("SELECT 1").rows == [[1]]


def test_the_time_limit_leaves_no_thread_behind(database):
    before = threading.active_count()
    database.query("SELECT 1", timeout_s=60)
    assert threading.active_count() == before


@pytest.mark.parametrize("reference", ["{0}", '"{0}"', "'{0}'", "[{0}]", "`{0}`", "/**/{0}--\n"])
def test_with_queries_that_double_thirty_times_are_refused_at_once(database, reference):
    levels = ", ".join(
        f"{reference.format(f'a{level}')} AS NOT MATERIALIZED (SELECT 1 x FROM {reference.format(f'A{level - 1}')} p,"
        f" {reference.format(f'a{level - 1}')} q)"
        for level in range(1, 31)
    )
    start = time.monotonic()
    with pytest.raises(SQLError, match="WITH queries"):
        database.query(f"WITH a0(x) AS (SELECT 1), {levels} SELECT 1 FROM a30")
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(("opened", "closed"), ['""', "[]", "``", "''"])
def test_signs_inside_a_quoted_name_are_part_of_the_name(opened, closed):
    name = f"{opened}a).( b{closed}"
    tokens = tokenize(f"WITH {name} (x) AS (SELECT 1) SELECT 1 FROM {name}, {name}")
    assert expansions(tokens, with_queries(tokens)) == 2


def test_slow_functions_on_long_texts_cannot_outrun_the_limit(database):
    trims = ",".join(
        f"length(trim(printf('%.*c',49000,'a'),printf('%.*c',4000,'b')||'a{number}'))" for number in range(100)
    )
    start = time.monotonic()
    assert database.query(f"SELECT {trims}").rows == [[0] * 100]
    assert time.monotonic() - start < 2


def test_trim_keeps_the_meaning_that_sqlite_gives_it(database):
    statement = "SELECT trim('xaxy', 'yx'), ltrim('xaxy', 'yx'), rtrim('xaxy', 'yx'), trim(NULL, 'x'), trim('a', NULL)"
    statement += ", trim('x', ''), trim(1001, 1), trim(' a ')"
    assert database.query(statement).rows == [list(sqlite3.connect(":memory:").execute(statement).fetchone())]


def test_rows_beyond_the_limit_are_cut_off_and_said_so(database):
    result = database.query("SELECT _row FROM cities_largest_2", max_rows=5)
    assert (result.rows, result.truncated) == ([[row] for row in range(5)], True)
    assert not database.query("SELECT _row FROM cities_largest_2", max_rows=13).truncated


def test_a_result_of_many_long_texts_is_cut_off(database):
    result = database.query("SELECT printf('%.*c', 40000, 'x') FROM cities_largest_2")
    assert (len(result.rows), result.truncated) == (5, True)


def test_bytes_that_are_no_text_still_come_back_as_text(database):
    assert database.query("SELECT x'00ff', CAST(x'ff' AS TEXT)").rows == [["00ff", "\ufffd"]]


@pytest.mark.parametrize("limits", [{"max_rows": 0}, {"timeout_s": 0}, {"timeout_s": float("nan")}])
def test_limits_that_allow_nothing_are_input_errors(database, limits):
    with pytest.raises(KBInputError):
        database.query("SELECT 1", **limits)
