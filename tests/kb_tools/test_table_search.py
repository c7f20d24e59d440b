"""A knowledge base of tables: whole when small, matching rows when large, and SQL over all of them."""

from __future__ import annotations

import json

import pytest

from kb_tools import Catalog, KnowledgeBase, Table
from kb_tools.errors import KBInputError, SQLError
from kb_tools.tables import links

STATIONS = Table(
    id="stations",
    title="Railway stations",
    section="Traffic",
    header=["Station", "City", "Passengers"],
    rows=[[f"Station {n}", f"City {n % 7}", f"{n * 1_000:,}"] for n in range(1, 121)]
    + [["Grand Terminal", "Zanzibar", "999,999"]],
)
MEDALS = Table(
    id="medals",
    title="1998 Winter Games",
    section="Medal table",
    header=["Nation", "Gold", "Silver"],
    rows=[["Norway", "10", "10"], ["Germany", "12", "9"], ["Finland", "2", "4"]],
    links=[[["/wiki/Norway"], [], []], [["/wiki/Germany"], [], []], [[], [], []]],
)


@pytest.fixture
def tables(catalog: Catalog) -> KnowledgeBase:
    kb = catalog.create("tables", description="Tables.", modality="table")
    kb.add([STATIONS, MEDALS])
    return kb


def test_a_small_table_comes_whole(tables: KnowledgeBase):
    hit = tables.search("Who won gold at the winter games?", k=1)[0]
    assert hit.doc_id == "medals"
    assert all(nation in hit.text for nation in ("Norway", "Germany", "Finland"))
    assert hit.metadata["columns"] == ["Nation", "Gold", "Silver"]


def test_a_large_table_comes_with_its_header_and_the_rows_that_match(tables: KnowledgeBase):
    hit = tables.search("passengers of the Grand Terminal in Zanzibar", k=1)[0]
    assert hit.doc_id == "stations"
    assert "| Station | City | Passengers |" in hit.text
    assert "999,999" in hit.text
    assert hit.text.count("\n") < 20


def test_a_table_comes_back_with_its_links(tables: KnowledgeBase):
    assert tables.get(["medals", "stations"]) == [MEDALS, STATIONS]


def test_a_table_counts_once_however_many_rows_match(tables: KnowledgeBase):
    assert sorted(hit.doc_id for hit in tables.search("station city passengers", k=2)) == ["medals", "stations"]


def test_a_small_table_comes_with_all_its_links(tables: KnowledgeBase):
    hit = tables.search("Who won gold at the winter games?", k=1)[0]
    assert hit.metadata["links"] == {"Norway": ["/wiki/Norway"], "Germany": ["/wiki/Germany"]}


def test_a_large_table_comes_with_the_links_of_the_rows_that_are_shown(catalog: Catalog):
    links = [[["/s"], [f"/city/{n}", "/city"], []] for n in range(len(STATIONS.rows))]
    kb = catalog.create("linked", description="Stations.", modality="table")
    kb.add(STATIONS.model_copy(update={"links": links}))
    hit = kb.search("passengers of the Grand Terminal in Zanzibar", k=1)[0]
    assert hit.metadata["links"]["Zanzibar"] == ["/city/120", "/city"]
    assert hit.metadata["links"]["Grand Terminal"] == ["/s"]
    shown = {cell for line in hit.text.splitlines() if line.startswith("|") for cell in line.strip("| ").split(" | ")}
    assert set(hit.metadata["links"]) <= shown
    assert json.loads(json.dumps(hit.metadata)) == hit.metadata


def test_a_cell_that_stands_in_several_rows_links_to_all_of_their_documents():
    table = Table(id="t", header=["a"], rows=[["x"], ["x"], ["y"]], links=[[["1", "1"]], [["2", "1"]], [[]]])
    assert links(table, range(3)) == {"x": ["1", "2"]}
    assert links(table, [1]) == {"x": ["2", "1"]}


def test_a_table_without_links_says_nothing_of_them(tables: KnowledgeBase):
    assert "links" not in tables.search("passengers of the Grand Terminal", k=1)[0].metadata


async def test_sql_counts_and_follows_what_is_added(tables: KnowledgeBase):
    name = tables.sql("SELECT name FROM _tables WHERE title LIKE '%stations%'").rows[0][0]
    assert tables.sql(f"SELECT count(*), max(passengers) FROM {name}").rows == [[121, 999_999]]
    tables.delete(["stations"])
    assert (await tables.asql("SELECT count(*) FROM _tables")).rows == [[1]]
    with pytest.raises(SQLError, match=r"[Rr]ead-only"):
        tables.sql("DELETE FROM _tables")


def test_a_cell_leads_to_its_table(tables: KnowledgeBase):
    cell = tables.cells("zanzibar")[0]
    assert (cell.value, cell.table_id, cell.column) == ("Zanzibar", "stations", "City")


def test_sql_over_text_says_what_it_needs(animals: KnowledgeBase):
    with pytest.raises(KBInputError, match="needs a knowledge base of tables"):
        animals.sql("SELECT 1")
