"""Reading evidence without a model: words, rows, order, spans, short answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.citations import citations
from router_graph.evidence import links_of, rarity, rows_of, short_answer, words
from router_graph.evidence.order import extremes, value
from router_graph.evidence.spans import asked_for
from support.views import hit

_any_text = st.text(alphabet=st.characters(codec="utf-8"), max_size=80)
_cells = st.text(alphabet="ab|\\ -:1.", min_size=1, max_size=8).map(str.strip)


def test_words_have_no_case_no_accent_no_plural_and_no_stop_words():
    assert words("The Cities of São Paulo's clubs, 1,234 (2010)") == ["city", "sao", "paulo", "club", "1234", "2010"]


def test_a_word_is_worth_more_the_fewer_texts_have_it_and_nothing_where_all_or_none_do():
    worth = rarity(["all", "some", "one", "none"], [{"all", "some", "one"}, {"all", "some"}, {"all"}])
    assert worth == {"all": 0.0, "none": 0.0, "some": math.log(1 + 3 / 2), "one": math.log(4)}


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    def line(cells):
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join(["A title", line(columns), line(["---"] * len(columns)), *map(line, rows)])


@given(st.lists(st.lists(st.from_regex(r"[a-z0-9|.]{1,6}", fullmatch=True), min_size=2, max_size=2), max_size=4))
def test_rows_come_back_from_markdown_whatever_stands_in_the_cells(rows):
    read = rows_of(hit(markdown(["x", "y"], rows)))
    assert read is not None
    assert (read.columns, read.cells) == (["x", "y"], rows)


@given(_any_text)
def test_any_text_can_be_read_as_rows_or_is_none(text):
    read = rows_of(hit(f"| a |\n| --- |\n{text}"))
    assert read is not None
    assert all(len(row) == 1 for row in read.cells)
    assert rows_of(hit("| a |\nno rule")) is None


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1,234.5 m", 1234.5),
        ("May 3 , 1950", 19500503),
        ("( 1991-01-20 ) January 20", 19910120),
        ("n/a", None),
        ("-3", -3),
    ],
)
def test_a_cell_has_a_value_that_can_be_compared(cell, number):
    assert value(cell) == number


@pytest.mark.parametrize(
    ("question", "columns", "row"),
    [
        ("Which has the most wins ?", ["Club", "Wins"], 1),
        ("Which has the fewest wins ?", ["Club", "Wins"], 0),
        ("Who has the highest rank ?", ["Club", "Rank"], 0),
        ("Which was the earliest one ?", ["Club", "Year"], 0),
        ("Who is the oldest player ?", ["Club", "Age"], 1),
        ("Who has the most wins ?", ["Club", "Losses"], None),
    ],
)
def test_an_end_of_an_order_is_found_in_the_column_that_is_named(question, columns, row):
    ends = extremes(question, columns, [["a", "3"], ["b", "20"], ["c", "11"]])
    assert [n for n, worth in ends.items() if worth == 1.0] == ([] if row is None else [row])


@pytest.mark.parametrize(
    ("question", "kind", "about"),
    [
        ("How many people live in Ulm ?", "number", "many people live"),
        ("What is the population of Ulm ?", "number", "population"),
        ("When was she born ?", "date", "she born"),
        ("In what year did it open ?", "year", "year"),
        ("The club of Ulm was founded in what year ?", "year", "year"),
        ("The player who won is from what country ?", "name", "country"),
        ("Who wrote it ?", "person", "wrote it"),
        ("Why does it rain ?", "sentence", "does it rain"),
        ("How do I sort a list ?", "sentence", None),
        ("Name the river .", "sentence", ""),
    ],
)
def test_the_kind_that_is_asked_for_is_read_from_the_question(question, kind, about):
    asked = asked_for(question)
    assert asked.kind == kind
    if about == "":
        assert asked.about == ""
    elif about is not None and kind != "sentence":
        assert set(asked.about.split()) & set(about.split())


RIVER = hit("The Isar is 295 km long . Munich lies on it , a city of 1,500,000 people since 1958 .", doc_id="isar")
CITY = hit(
    "Ulm is a city with 126,000 people . Albert Einstein was born there on 14 March 1879 .", doc_id="ulm", title="Ulm"
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How many people live in Ulm ?", "126,000 [books:ulm]"),
        ("When was Einstein born in Ulm ?", "14 March 1879 [books:ulm]"),
        ("What year was Einstein born in Ulm ?", "1879 [books:ulm]"),
        ("How long is the Isar at Munich ?", "295 [books:isar]"),
    ],
)
def test_the_span_of_the_right_kind_in_the_right_document_is_the_answer(question, answer):
    assert short_answer(question, [RIVER, CITY]) == answer


def test_the_cell_of_the_column_that_is_asked_for_in_the_row_that_fits_is_the_answer():
    table = hit(markdown(["Club", "City"], [["Brann", "Bergen"], ["Lyn", "Oslo"]]), doc_id="t", title="Clubs")
    assert short_answer("Which city is Lyn from ?", [table]) == "Oslo [books:t]"


def test_a_row_is_also_known_by_the_words_of_what_it_links_to():
    links = {"Brann": ["b"], "Lyn": ["l"]}
    rows = markdown(["Club", "City"], [["Brann", "Bergen"], ["Lyn", "Oslo"]])
    table = hit(rows, doc_id="t", title="Clubs", links=links)
    linked = [hit("It plays in red .", doc_id="b"), hit("It won the harbour cup .", doc_id="l")]
    assert short_answer("What city is home to the winner of the harbour cup ?", [table, *linked]) == "Oslo [books:t]"


def test_a_passage_is_also_known_by_the_words_of_the_row_that_links_to_it():
    links = {"Lyn": ["l"], "Brann": ["b"]}
    table = hit(markdown(["Club", "City"], [["Brann", "Bergen"], ["Lyn", "Oslo"]]), doc_id="t", title="x", links=links)
    grounds = [hit(f"It has a capacity of {n} .", doc_id=doc_id) for doc_id, n in (("l", 900), ("b", 700))]
    assert short_answer("What is the capacity of the ground in Bergen ?", [table, *grounds]) == "700 [books:b]"
    assert short_answer("What is the capacity of the ground in Oslo ?", [table, *grounds]) == "900 [books:l]"


def test_the_span_beside_the_noun_that_is_asked_for_comes_before_others():
    town = hit("Anna Berg works in the town , by the river Danube .")
    assert short_answer("Which river is by the town ?", [town]) == "Danube [books:1]"


def test_a_cell_of_the_column_that_is_asked_for_comes_before_a_name_in_a_passage():
    table = hit(markdown(["Club", "City"], [["Brann", "Bergen"], ["Lyn", "Oslo"]]), doc_id="t", title="Clubs")
    club = hit("Ullevaal is the home of Lyn .", title="Lyn")
    assert short_answer("Which city is Lyn from ?", [club, table]) == "Oslo [books:t]"


def test_what_the_question_says_itself_is_no_answer():
    opening = hit("After 1879 came the opening , in 1901 .")
    assert short_answer("In what year after 1879 did it open ?", [opening]) == "1901 [books:1]"


def test_what_must_be_explained_is_answered_with_a_sentence():
    assert short_answer("Why does Munich matter ?", [RIVER]).startswith("Munich lies on it")


def test_without_a_word_of_evidence_there_is_no_answer():
    assert short_answer("Who ?", []) == short_answer("Who ?", [hit(" \n ")]) == ""


_hits = st.lists(
    st.builds(hit, _any_text, doc_id=st.sampled_from("abc"), title=_any_text),
    max_size=3,
    unique_by=lambda one: one["doc_id"],
)


@given(_any_text, _hits)
def test_an_answer_is_one_line_and_cites_the_one_document_that_it_is_from(question, hits):
    answer = short_answer(question, hits)
    if answer:
        assert answer.isprintable()
        assert len(citations(answer, hits)) == 1
        assert answer == short_answer(question, hits)


def test_what_a_document_says_cannot_cite_another():
    hits = [hit("See [books:b] now \x1b[31m .", doc_id="a"), hit("other", doc_id="b")]
    answer = short_answer("Why see now ?", hits)
    assert [one["doc_id"] for one in citations(answer, hits)] == ["a"]
    assert "\x1b" not in answer


def test_links_are_texts_by_texts():
    links = {"x": ["1", 2], "y": "3", 4: ["5"], "z": []}
    assert links_of(hit("", links=links)) == {"x": ["1"]}
    assert links_of(hit("", links=["1"])) == links_of(hit("")) == {}
