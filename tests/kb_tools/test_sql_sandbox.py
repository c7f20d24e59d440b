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
    with pytest.raises(SQLError, match=r"not available here|no such function"):
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
        ("SELEC 1", 'near "SELEC": syntax error'),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT * FROM city_largest", "no such table: city_largest; .*cities_largest"),
        ("SELECT * FROM largest", "no such table: largest; .*cities_largest_2"),
        ("SELECT population FROM cities_largest", "no such column: population; cities_largest has _row, c_1911"),
        ("SELECT nosuch(1)", "no such function: nosuch"),
        ("SELECT 1\0", "null character"),
        ("SELECT '\ud800'", "surrogates"),
        ("SELECT ?", "bindings"),
        ("SELECT 1" + " " * 20_000, "20,000"),
        ("SELECT " + "(" * 300 + "1" + ")" * 300, "too large|stack overflow"),
        ("SELECT " + ",".join(["1"] * 1500), "too many columns"),
        ("SELECT group_concat(hex(printf('%.*c', 9000, 'x'))) FROM cities_largest_2", "too big"),
        ("SELECT " + ",".join(["printf('%.*c', 49000, 'x')"] * 20), "a row has 980,000 characters"),
    ],
)
def test_a_refusal_is_one_line_that_says_why(database, statement, message):
    with pytest.raises(SQLError, match=message) as refusal:
        database.query(statement)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_a_statement_that_does_not_end_is_stopped_in_time(database):
    start = time.monotonic()
    with pytest.raises(SQLError, match=r"stopped after 0\.2 s"):
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
