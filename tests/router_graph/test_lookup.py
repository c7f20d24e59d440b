"""Reading an answer off a table, following the row that is meant, and saying that there is none."""

from __future__ import annotations

import pytest

from router_graph.evidence import heading, pinned, rows_of, short_answer, sure_answer
from router_graph.evidence.support import ENOUGH, support
from router_graph.evidence.words import names
from router_graph.state import Hit
from support.views import hit

RIVERS = hit(
    "Rivers\n| river | country | length (km) | mouth | explored | explorer |\n| --- | --- | --- | --- | --- | --- |\n"
    "| Umba | Norway | 120 | North Sea | 1901 | Ida Holm |\n"
    "| Tarn Beck | Wales | 45.0 | Irish Sea | 1822 | Owen Price |\n"
    "| Lone | Norway | 310 | Baltic Sea | 1871 | Nils Dahl |\n"
    "| Aire | Wales | 88 | Irish Sea | 1840 | Owen Price |",
    kb="tables",
    doc_id="rivers",
    title="Rivers",
    links={"Umba": ["umba"], "Lone": ["lone"]},
)
UMBA = hit("Greta Moe was the first swimmer to cross the river , in June 1949 .", doc_id="umba", title="Umba")
LONE = hit("Anna Lie was the first swimmer to cross the river , in May 1950 .", doc_id="lone", title="Lone")


def row(question: str) -> str | None:
    table = rows_of(RIVERS)
    assert table is not None
    pin = pinned(question, table, heading(RIVERS))
    return table.cells[pin.row][0] if pin else None


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("How long is the Tarn Beck ?", "Tarn Beck"),
        ("Which river has a length of 45 km ?", "Tarn Beck"),
        ("Which river has the lowest length ?", "Tarn Beck"),
        ("Which river of Norway has the lowest length ?", "Umba"),
        ("Which river did Owen Price explore ?", None),
        ("Which river is nice ?", None),
    ],
)
def test_a_row_is_meant_by_its_cells_or_its_place_in_an_order_and_only_if_it_is_the_only_one(question, meant):
    assert row(question) == meant


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the length of the Umba ?", "120"),
        ("Who explored the Lone ?", "Nils Dahl"),
        ("When was the Lone explored ?", "1871"),
        ("Which river has the longest length ?", "Lone"),
        ("Which country is the river Aire in ?", "Wales"),
        ("What is the mouth of the river with a length of 88 km ?", "Irish Sea"),
    ],
)
def test_the_cell_of_the_row_that_is_meant_in_the_column_that_is_asked_for_is_the_answer(question, answer):
    assert sure_answer(question, [UMBA, RIVERS, LONE]) == f"{answer} [tables:rivers]"
    assert short_answer(question, [UMBA, RIVERS, LONE]) == f"{answer} [tables:rivers]"


@pytest.mark.parametrize(
    "question",
    [
        "Which swimmer crossed the river with the longest length ?",  # no such column
        "What is the length of the Umba in Peru ?",  # a name that the table does not know
        "What is the mouth of the river that Owen Price explored ?",  # two rows
        "Why is the Umba so long ?",  # not a cell's worth
    ],
)
def test_a_table_that_does_not_say_it_outright_has_no_sure_answer(question):
    assert sure_answer(question, [RIVERS], left_open=1) == ""


def test_a_word_may_stay_open_where_that_is_allowed():
    assert sure_answer("What is the full length of the Umba ?", [RIVERS]) == ""
    assert sure_answer("What is the full length of the Umba ?", [RIVERS], left_open=1) == "120 [tables:rivers]"


def table(*lines: str) -> Hit:
    columns = lines[0].count("|") + 1
    rows = [f"| {line} |" for line in (lines[0], "|".join(["---"] * columns), *lines[1:])]
    return hit("\n".join(rows), kb="tables", doc_id="t")


def test_a_kind_that_has_an_end_of_an_order_is_asked_for_the_row_itself():
    lakes = table("lake | kind | depth (m)", "Ama | salt lake | 12", "Bex | salt lake | 40", "Cole | tarn | 3")
    assert sure_answer("Which salt lake has the lowest depth ?", [lakes]) == "Ama [tables:t]"


def test_a_cell_that_says_what_its_column_says_names_no_row():
    moons = table("moon | orbit (days)", "Moon | 27.3", "Titan | 15.95")
    assert sure_answer("Which moon has the lowest orbit ?", [moons]) == "Titan [tables:t]"


def test_a_cell_of_another_kind_is_no_answer_though_its_column_has_the_name():
    cups = table("club | scored | town", "Lyn | 1990 | Oslo", "Brann | 1991 | Oslo")
    assert short_answer("Who scored in Oslo ?", [cups, hit("Nils Dahl scored in Oslo .")]) == "Nils Dahl [books:1]"


def test_the_document_that_the_meant_row_links_to_has_the_answer_and_not_another_that_fits_as_well():
    for passages in ([UMBA, LONE], [LONE, UMBA]):
        for which, answer in (
            ("the longest length", "Anna Lie [books:lone]"),
            ("a length of 120", "Greta Moe [books:umba]"),
        ):
            question = f"Which swimmer was the first to cross the river with {which} ?"
            assert short_answer(question, [RIVERS, *passages]) == answer


def test_what_the_meant_row_explains_counts_for_the_document_that_it_links_to():
    lure = hit(f"{UMBA['text']} Its length is not the longest .", doc_id="umba", title="Umba")
    question = "Which swimmer was the first to cross the river with the longest length ?"
    assert short_answer(question, [RIVERS, lure, LONE]) == "Anna Lie [books:lone]"


def test_a_name_of_which_the_sentence_says_that_it_is_what_is_asked_for_comes_before_others():
    land = hit("By the peak Orm lies a lake . Elbrus is the coldest and highest peak of the land .", title="The land")
    assert short_answer("What is the highest peak of the land ?", [land]) == "Elbrus [books:1]"


def test_a_capital_at_the_front_of_a_sentence_makes_no_name():
    text = "Only the bridge is old , the only one in town . The house there is that of Ida Holm ."
    assert short_answer("Who lives by the old bridge in town ?", [hit(text)]) == "Ida Holm [books:1]"


def test_what_must_be_explained_is_answered_by_the_sentence_that_says_what_it_is():
    text = "A weir statement may stand in a lock statement . The weir is a low dam that slows a stream ."
    assert short_answer("What does the weir do ?", [hit(text)]).startswith("The weir is a low dam")


def test_evidence_that_has_next_to_nothing_of_the_question_gives_no_answer():
    for question in ("Who won the football world cup in 1998 ?", "What is the capital of France ?", "Who ?"):
        assert short_answer(question, [RIVERS, UMBA, LONE]) == ""


def test_a_name_or_a_number_that_is_missing_weighs_more_than_another_word():
    told = [frozenset({"capital", "city"}), frozenset({"river"})]
    assert support("What is the capital of France ?", told, told) < ENOUGH
    assert support("What is the capital of it all ?", told, told) > ENOUGH
    assert names("Is the Isar 295 km long ?") == {"isar", "295"}


def test_how_long_something_takes_is_not_when_it_was():
    table = rows_of(hit("x\n| planet | year (days) |\n| --- | --- |\n| A | 88 |\n| B | 300 |"))
    assert table is not None
    assert pinned("Which was discovered first ?", table, "") is None
