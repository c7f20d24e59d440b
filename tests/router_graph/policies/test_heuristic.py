"""The policy without a language model: on views made by hand and at random, and in the graph on real documents."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb_tools import Catalog, Passage, Table
from kb_tools.embeddings.minilm import MiniLM
from router_graph.actions import Answer, RouteToKB
from router_graph.graph import create_router
from router_graph.knowledge import Knowledge
from router_graph.policies.heuristic import Extent, Heuristic
from router_graph.policies.policy import Choice
from router_graph.state import Left
from router_graph.view import View
from router_graph.view import found as found_in
from support.routing import Shelf
from support.views import after, found, hit, observation, observations, option, problems, view_of, views

QUESTION = "What is the capacity of the stadium of the Lakeside League club from Bergen ?"
CLUBS = {
    "Bergen": ("Brann", "Brann Stadion"),
    "Oslo": ("Lyn", "Ullevaal Park"),
    "Turku": ("Inter", "Veritas Ground"),
    "Lund": ("Torn", "Lunden Field"),
}
TABLE = "Lakeside League. Clubs\n| Club | City | Stadium |\n| --- | --- | --- |\n" + "\n".join(
    f"| {club} | {city} | {stadium} |" for city, (club, stadium) in CLUBS.items()
)
LINKS = {cell: [f"/{cell}"] for club, stadium in CLUBS.values() for cell in (club, stadium)}
LEAGUE = hit(TABLE, kb="tables", doc_id="league", title="Lakeside League", section="Clubs", links=LINKS)
PEAKS = hit(
    "Peaks\n| Peak | Height |\n| --- | --- |\n| A | 1,200 |\n| B | 9,100 |\n| C | 880 |",
    kb="tables",
    doc_id="peaks",
    title="Peaks",
    links={c: [c] for c in "ABC"},
)
POLICY = Heuristic()


def asked(choice: Choice) -> list[RouteToKB]:
    assert all(isinstance(one, RouteToKB) for one in choice.actions), choice
    return list(choice.actions)


def answered(choice: Choice) -> str:
    (only,) = choice.actions
    assert isinstance(only, Answer), choice
    return only.text


def both(**facts) -> View:
    return view_of("kb:tables", "kb:passages", question=QUESTION, **facts)


def looked() -> View:
    return after(
        both(), (RouteToKB("tables", QUESTION, 2), found(LEAGUE)), (RouteToKB("passages", QUESTION, 2), found())
    )


def followed() -> View:
    club = hit("Lyn is a club .", kb="passages", doc_id="/Lyn", title="Lyn")
    route = RouteToKB("passages", "capacity of the stadium", 6, linked="tables:league")
    return after(looked(), (route, found(club)))


def test_the_first_look_asks_several_knowledge_bases_at_once_for_few_documents():
    routes = asked(POLICY.choose(both()))
    assert [(one.kb, one.query, one.linked) for one in routes] == [
        ("passages", QUESTION, None),
        ("tables", QUESTION, None),
    ]
    assert sum(one.k for one in routes) == 4


def test_where_only_one_step_is_left_the_look_is_deeper():
    routes = asked(POLICY.choose(both(left=Left(steps=1, usd=None, tokens=None, seconds=None))))
    assert [one.k for one in routes] == [5, 5]


def test_of_many_knowledge_bases_those_are_asked_whose_description_fits():
    menu = [option(f"kb:{name}", about) for name, about in {
        "law": "Statutes and court decisions.",
        "cooking": "Recipes and ingredients.",
        "birds": "Birds of Europe, their songs and nests.",
        "rail": "Railway timetables.",
        "nests": "Photographs.",
    }.items()]  # fmt: skip
    routes = asked(Heuristic(Extent(bases=2)).choose(view_of(*menu, question="Which birds build nests?")))
    assert [one.kb for one in routes] == ["birds", "nests"]


def test_a_first_look_that_finds_nothing_goes_on_with_the_knowledge_bases_that_were_not_asked():
    policy = Heuristic(Extent(bases=3))
    view = view_of("kb:a", "kb:b", "kb:c", "kb:d", question=QUESTION)
    first = asked(policy.choose(view))
    view = after(view, *((one, observation("failed", "It is down.")) for one in first))
    second = asked(policy.choose(view))
    assert {one.kb for one in first} | {one.kb for one in second} == set("abcd")
    view = after(view, *((one, found()) for one in second))
    assert answered(policy.choose(view)).startswith("No answer was found")


def test_of_a_few_knowledge_bases_all_are_looked_at_and_the_best_described_one_deeper():
    menu = [option(f"kb:{name}", "Nests of birds." if name == "c" else "Other things.") for name in "abcde"]
    routes = asked(POLICY.choose(view_of(*menu, question="Which birds build nests?")))
    assert [(one.kb, one.k) for one in routes] == [("c", 2), ("a", 1), ("b", 1), ("d", 1), ("e", 1)]


@given(order=st.permutations(["a", "b", "c", "d", "e", "f", "g", "h"]))
def test_the_order_of_the_menu_decides_nothing(order):
    first = POLICY.choose(view_of(*(f"kb:{name}" for name in sorted(order)), question=QUESTION))
    assert POLICY.choose(view_of(*(f"kb:{name}" for name in order), question=QUESTION)) == first


def test_a_linking_table_that_has_nothing_to_do_with_the_question_is_not_followed():
    question = "Who painted the ceiling of the chapel ?"
    chapel = hit("The ceiling of the chapel was painted by Ida Holm .", kb="passages", title="Chapel")
    view = view_of("kb:tables", "kb:passages", question=question)
    view = after(
        view, (RouteToKB("passages", question, 2), found(chapel)), (RouteToKB("tables", question, 2), found(LEAGUE))
    )
    assert answered(POLICY.choose(view)) == "Ida Holm [passages:1]"


def test_a_row_that_says_it_outright_ends_the_search():
    view = view_of("kb:tables", "kb:passages", question="What is the city of the club Brann ?")
    view = after(view, (RouteToKB("tables", view.question, 2), found(LEAGUE)))
    assert answered(POLICY.choose(view)) == "Bergen [tables:league]"


def test_evidence_that_has_nothing_to_do_with_the_question_ends_in_an_honest_sentence():
    view = view_of("kb:tables", question="Who won the chess world cup in 1998 ?")
    view = after(view, (RouteToKB("tables", view.question, 2), found(hit("Lyn is a club .", kb="tables"))))
    view = after(view, (RouteToKB("tables", "chess cup", 4), found()))
    assert answered(POLICY.choose(view)) == "No answer was found; asked were kb:tables."


def test_what_a_table_links_to_is_searched_for_what_the_table_does_not_say():
    (route,) = asked(POLICY.choose(looked()))
    assert (route.kb, route.linked) == ("passages", "tables:league")
    assert "capacity" in route.query
    assert "Bergen" in route.query
    assert "Lakeside" not in route.query


def test_the_row_that_the_question_names_is_followed_first():
    routes = asked(POLICY.choose(followed()))
    assert routes[0] == RouteToKB("passages", "Brann; Brann Stadion", 2, "tables:league")


def test_the_row_of_a_document_that_was_found_near_the_top_is_followed_too():
    # Lyn was found; its stadium was not, and nothing in the question names the row.
    assert "Ullevaal Park" in [one.query for one in asked(POLICY.choose(followed()))]


def test_rows_at_the_end_that_the_question_asks_for_are_followed():
    for question, first in (("Who climbed the peak with the greatest height ?", "B"), ("… the lowest height ?", "C")):
        view = view_of("kb:tables", "kb:passages", question=question)
        view = after(view, (RouteToKB("tables", question, 2), found(PEAKS)))
        view = after(view, (RouteToKB("passages", question, 6, linked="tables:peaks"), found(hit("x", kb="passages"))))
        assert asked(POLICY.choose(view))[0].query == first


def test_the_row_that_the_question_can_only_mean_comes_before_one_whose_document_ranked_high():
    question = "Who climbed the peak with the greatest height ?"
    view = view_of("kb:tables", "kb:passages", question=question)
    view = after(view, (RouteToKB("tables", question, 2), found(PEAKS)))
    high = found(hit("x", kb="passages", doc_id="A"))
    view = after(view, (RouteToKB("passages", question, 6, linked="tables:peaks"), high))
    assert [one.query for one in asked(Heuristic(Extent(rows=1)).choose(view))] == ["B"]


def test_a_table_of_which_the_question_means_a_row_is_followed_however_little_it_shares():
    question = "Who was the brave climber from Wales that stood on the summit with the greatest height ?"
    tale = hit("A brave climber from Wales stood on the summit of a great height .", kb="passages")
    view = view_of("kb:tables", "kb:passages", question=question)
    view = after(view, (RouteToKB("passages", question, 2), found(tale)))
    view = after(view, (RouteToKB("tables", question, 2), found(PEAKS)))
    assert [one.linked for one in asked(POLICY.choose(view))] == ["tables:peaks"]


def test_a_step_that_brings_nothing_new_is_the_last():
    view = followed()
    known = view.evidence[-1]
    view = after(view, (RouteToKB("passages", "Brann; Brann Stadion", 2, linked="tables:league"), found(known)))
    assert "[" in answered(POLICY.choose(view))


def test_where_what_a_table_links_to_brings_nothing_its_rows_are_not_asked_for_either():
    view = after(looked(), (RouteToKB("passages", "capacity", 6, linked="tables:league"), found()))
    assert answered(POLICY.choose(view)).endswith("[tables:league]")


def test_where_nothing_links_the_words_that_no_document_has_are_searched_once_more():
    question = "Which river flows through the birthplace of Anna Berg ?"
    view = view_of("kb:passages", question=question)
    view = after(
        view,
        (
            RouteToKB("passages", question, 4),
            found(hit("Anna Berg was born in Ulm .", kb="passages", title="Anna Berg")),
        ),
    )
    (route,) = asked(POLICY.choose(view))
    assert route.kb == "passages"
    assert {"Anna", "Berg", "river", "flows"} <= set(route.query.split())
    view = after(view, (route, found(hit("The Danube is a river that flows through Ulm .", kb="passages", doc_id="2"))))
    assert answered(POLICY.choose(view)).endswith("[passages:2]")


def test_a_document_that_has_all_words_of_the_question_is_enough():
    view = view_of("kb:passages", question="When was Anna Berg born ?")
    view = after(
        view, (RouteToKB("passages", view.question, 4), found(hit("Anna Berg was born on 3 May 1950 .", kb="passages")))
    )
    assert answered(POLICY.choose(view)) == "3 May 1950 [passages:1]"


def test_no_more_documents_are_asked_for_than_the_extent_allows():
    policy = Heuristic(Extent(documents=3, look=2, linked=9, rows=9))
    view = both()
    assert sum(one.k for one in asked(policy.choose(view))) <= 3
    assert sum(one.k for one in asked(policy.choose(looked()))) <= 2
    assert sum(one.k for one in asked(policy.choose(followed()))) <= 1


def test_searches_that_the_money_does_not_pay_for_are_left_out():
    menu = [option("kb:tables", usd=0.4), option("kb:passages", usd=0.4)]
    left = Left(steps=6, usd=0.5, tokens=None, seconds=None)
    assert len(asked(POLICY.choose(view_of(*menu, question=QUESTION, left=left)))) == 1


def test_nothing_masked_is_asked_and_a_masked_target_of_links_ends_in_an_answer():
    view = replace(looked(), masked={"kb:passages": "excluded", "kb:tables": "excluded"})
    assert answered(POLICY.choose(view)).endswith("[tables:league]")


def test_where_an_answer_is_due_it_comes_at_once():
    assert answered(POLICY.choose(replace(followed(), must_answer="steps"))).endswith("]")
    assert answered(POLICY.choose(both(must_answer="steps"))).startswith("No answer was found")


@pytest.mark.parametrize("links", [["/a"], "a", {"Brann": "/a"}, {"Brann": [1]}, {1: ["a"]}, None])
def test_links_of_another_form_are_no_links(links):
    strange = replace(looked(), steps=())
    strange = after(strange, (RouteToKB("tables", QUESTION, 2), found(hit(TABLE, kb="tables", links=links))))
    assert all(one.linked is None for one in POLICY.choose(strange).actions if isinstance(one, RouteToKB))


@given(view=views())
def test_a_choice_is_legal_whatever_is_shown(view: View):
    choice = POLICY.choose(view)
    assert [one for one in problems(choice, view) if "twice" not in one] == []
    assert len(set(choice.actions)) == len(choice.actions)
    assert POLICY.choose(view) == choice


_tables = st.sampled_from(
    [LEAGUE, hit(TABLE, kb="books", doc_id="t", links={"Brann": ["1", "2"], "Oslo": ["t"]}), hit(TABLE, kb="tables")]
)


@settings(max_examples=60)
@given(data=st.data(), table=_tables)
def test_a_run_ends_within_its_steps_whatever_comes_of_the_searches(data, table):
    came = data.draw(st.lists(observations.filter(bool), min_size=1, max_size=4))
    view = view_of("kb:books", "kb:tables", question=QUESTION)
    for number in range(8):
        choice = POLICY.choose(view)
        if isinstance(choice.actions[0], Answer):
            assert choice.actions[0].text.strip()
            return
        seen = [found(table) if number == 0 else came[n % len(came)] for n in range(len(choice.actions))]
        view = after(view, *zip(choice.actions, seen, strict=True))
    raise AssertionError("it has not answered after 8 steps")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with Catalog(tmp_path_factory.mktemp("kb"), embedding=MiniLM(threads=1)) as catalog:
        tables = catalog.create("tables", description="Tables of leagues.", modality="table")
        rows = [[club, city, stadium] for city, (club, stadium) in CLUBS.items()]
        links = [[[f"/{cell}"] if cell in LINKS else [] for cell in row] for row in rows]
        tables.add(
            Table(
                id=f"league{n}",
                title=f"Lakeside League {n}",
                header=["Club", "City", "Stadium"],
                rows=rows,
                links=links,
            )
            for n in range(2)
        )
        passages = catalog.create("passages", description="Passages on clubs and places.")
        for n, (club, stadium) in enumerate(CLUBS.values(), start=1):
            ground = f"It is a ground with a capacity of {n}7,500 people ."
            passages.add(Passage(id=f"/{club}", title=club, text=f"{club} is a football club ."))
            passages.add(Passage(id=f"/{stadium}", title=stadium, text=ground))
        passages.add(
            Passage(id=f"other{n}", title=f"Hall {n}", text="A stadium with a large capacity .") for n in range(9)
        )
        yield tables, passages


async def test_a_question_over_a_table_and_the_passages_it_links_to_is_answered_from_the_right_row(library):
    out = await create_router(library, policy="heuristic").ainvoke({"question": QUESTION})
    assert out["answer"] == "17,500 [passages:/Brann Stadion]"
    assert out["stop_reason"] == "answered"
    assert [one["doc_id"] for one in out["citations"]] == ["/Brann Stadion"]
    assert len(found_in(out["steps"])) <= 12


async def test_a_catalogue_of_texts_alone_is_searched_once_or_twice(library):
    out = await create_router([library[1]], policy="heuristic").ainvoke({"question": "What kind of club is Lyn ?"})
    assert "[passages:" in out["answer"]
    assert len([step for step in out["steps"] if step["observations"]]) <= 2


async def test_a_knowledge_base_that_fails_costs_neither_the_answer_nor_its_sibling():
    shelf = Shelf("notes", ["The bridge opened in 1932 ."])
    down = Knowledge.of(Shelf("down", error=RuntimeError("gone")))
    out = await create_router([down, shelf], policy="heuristic").ainvoke({"question": "When was the bridge opened ?"})
    assert out["answer"] == "1932 [notes:0]"
