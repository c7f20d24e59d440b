"""Policies over knowledge bases: one of them, all of them, and the gate between."""

from __future__ import annotations

import pytest

from router_graph.actions import Answer, RouteToKB, RouteToLLM
from router_graph.policies.closing import close
from router_graph.policies.fanout import FanOut
from router_graph.policies.gate import Features, Gate, Thresholds, features_of
from router_graph.policies.single import OneKnowledgeBase
from router_graph.policies.support import Support
from router_graph.policies.verify import supporting, with_source
from support.views import QUESTION, after, found, hit, observation, option, said, view_of, walk

DUNE = hit("Dune is a 1965 novel. Frank Herbert wrote the novel Dune.", doc_id="dune", title="Dune")
SAND = hit("A dune is a heap of sand.", kb="geo", doc_id="sand")
FOXES = hit("Foxes hunt at night.", kb="geo", doc_id="fox")
SHELVES = {"books": (DUNE,), "geo": (SAND, FOXES)}
KBS = (option("kb:geo", "Landscapes and deserts."), option("kb:books", "Novels, and who wrote them."))


def shelves(action, number):
    if isinstance(action, RouteToLLM):
        return said("Frank Herbert")
    return found(*SHELVES[action.kb])


def test_one_knowledge_base_is_searched_once_and_answered_from_with_the_source():
    answer, last = walk(OneKnowledgeBase("books", k=3), view_of(*KBS), shelves)
    assert answer == "Frank Herbert [books:dune]"
    assert [list(one["actions"]) for one in last.steps] == [[{"kind": "kb", "kb": "books", "query": QUESTION, "k": 3}]]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("failed", "No answer was found; asked were kb:books."),
        ("empty", "No answer was found; asked were kb:books."),
        ("refused", "No answer was found; nobody was asked."),
        ("declined", "No answer was found; nobody was asked."),
    ],
)
def test_a_search_that_brought_nothing_is_said_and_not_repeated(status, told):
    answer, last = walk(OneKnowledgeBase("books"), view_of(*KBS), lambda action, number: observation(status, "why"))
    assert (answer, len(last.steps)) == (told, 1)


def test_fan_out_searches_all_legal_ones_in_one_step_and_cites_the_document_that_supports_the_question():
    view = view_of(*KBS, "kb:secret", masked={"kb:secret": "excluded"})
    answer, last = walk(FanOut(k=2), view, shelves)
    assert answer == "Frank Herbert [books:dune]"
    assert [one["kb"] for one in last.steps[0]["actions"]] == ["geo", "books"]
    assert len(last.steps) == 1


def test_fan_out_has_a_model_write_the_answer_from_the_evidence_and_names_the_source():
    answer, last = walk(FanOut("fast"), view_of(*KBS, "llm:fast"), shelves)
    assert answer == "Frank Herbert [books:dune]"
    assert last.steps[1]["actions"] == [{"kind": "llm", "model": "fast", "query": QUESTION, "evidence": True}]


def test_fan_out_answers_from_the_documents_where_the_model_fails_or_may_not_be_asked():
    def world(action, number):
        return observation("failed") if isinstance(action, RouteToLLM) else shelves(action, number)

    view = view_of(*KBS, "llm:fast")
    assert walk(FanOut("fast"), view, world)[0] == "Frank Herbert [books:dune]"
    masked = view_of(*KBS, "llm:fast", masked={"llm:fast": "too dear"})
    assert walk(FanOut("fast"), masked, world)[0] == "Frank Herbert [books:dune]"


def test_a_document_that_does_not_support_the_question_is_not_kept():
    assert supporting(QUESTION, [FOXES, SAND, DUNE], most=3) == [DUNE]
    assert supporting("foxes on a dune", [FOXES, SAND, DUNE], most=2) == [FOXES, SAND]
    assert supporting(QUESTION, [], most=3) == []


def test_a_reply_gets_the_source_that_holds_its_words_and_no_other():
    assert with_source("Frank Herbert", [SAND, DUNE]) == "Frank Herbert [books:dune]"
    assert with_source("Isaac Asimov", [SAND, DUNE]) == "Isaac Asimov"
    assert with_source("He did [geo:sand]", [SAND, DUNE]) == "He did [geo:sand]"
    assert with_source("Herbert", []) == "Herbert"


def test_the_end_is_made_of_the_given_documents_else_of_a_reply_else_it_says_that_nothing_was_found():
    def end(view, hits=None):
        return close(view, hits=hits).actions[0].text

    view = after(view_of(*KBS, "llm:fast"), (RouteToKB("geo", QUESTION), found(SAND, DUNE)))
    assert end(view) == "Frank Herbert [books:dune]"
    assert end(view, [SAND]) == "A dune is a heap of sand. [geo:sand]"
    replied = after(view_of(*KBS, "llm:fast"), (RouteToLLM("fast", QUESTION), said("Herbert")))
    assert end(replied) == "Herbert"
    assert end(after(view_of(*KBS), (RouteToKB("geo", QUESTION), found()))).startswith("No answer was found")


def test_the_gate_searches_the_knowledge_base_that_fits_and_stops_where_one_document_covers_the_question():
    answer, last = walk(Gate(), view_of(*KBS), shelves)
    assert answer.endswith("[books:dune]")
    assert [one["kb"] for one in last.steps[0]["actions"]] == ["books"]
    assert len(last.steps) == 1


def test_the_gate_goes_on_to_the_others_where_the_first_search_brought_little():
    view = view_of(option("kb:geo", "Who wrote the novel: all about it."), "kb:books")
    answer, last = walk(Gate(), view, shelves)
    assert [[one["kb"] for one in step["actions"]] for step in last.steps] == [["geo"], ["books"]]
    assert answer.endswith("[books:dune]")


def test_the_gate_hands_over_to_another_policy_where_it_is_given_one():
    view = view_of(option("kb:geo", "Who wrote the novel: all about it."), "kb:books", "llm:fast")
    answer, last = walk(Gate(then=Support()), view, shelves)
    assert last.steps[1]["actions"][0]["kind"] == "llm"
    assert answer == "Frank Herbert"


def test_the_gate_decides_by_the_first_search_whatever_came_later():
    gate = Gate(then=Support())
    view = after(view_of(*KBS, "llm:fast"), (RouteToKB("geo", QUESTION), found(FOXES)))
    later = after(view, (RouteToKB("books", QUESTION), found(DUNE)))
    assert isinstance(gate.choose(view).actions[0], RouteToLLM)
    assert isinstance(gate.choose(later).actions[0], RouteToLLM)


def test_the_gate_answers_at_once_where_it_must():
    view = after(view_of(*KBS, must_answer="steps"), (RouteToKB("geo", QUESTION), found(FOXES)))
    assert isinstance(Gate().choose(view).actions[0], Answer)


GOOD = Features(hits=2, top=1.0, margin=0.5, coverage=1.0, has_kind=True, words=5)


@pytest.mark.parametrize(
    ("change", "way"),
    [
        ({}, "stop"),
        ({"hits": 0}, "go on"),
        ({"has_kind": False}, "go on"),
        ({"top": 0.5}, "prune"),
        ({"words": 40}, "prune"),
        ({"margin": 0.1}, "prune"),
        ({"top": 0.5, "coverage": 0.6}, "go on"),
    ],
)
def test_each_feature_can_tip_the_gate(change, way):
    from dataclasses import replace

    assert Gate(Thresholds(margin=0.2)).decide(replace(GOOD, **change)) == way


def test_features_are_shares_of_the_words_of_the_question_and_of_the_kind_that_is_asked_for():
    features = features_of(QUESTION, [SAND, DUNE])
    assert features == Features(hits=2, top=1.0, margin=pytest.approx(2 / 3), coverage=1.0, has_kind=True, words=5)
    assert not features_of("When was Dune written?", [SAND]).has_kind
    assert features_of("When was Dune written?", [DUNE]).has_kind
    assert not features_of("Who wrote Dune?", [hit("Dune was a novel.")]).has_kind
    assert features_of("Who?", []) == Features(0, 0.0, 0.0, 0.0, has_kind=False, words=1)


def test_settings_change_the_version_and_equal_settings_do_not():
    gates = [Gate(), Gate(Thresholds(top=0.5)), Gate(Thresholds(top=0.6)), Gate(k=3), Gate(then=FanOut())]
    assert len({gate.version for gate in gates}) == len(gates)
    assert Gate(Thresholds(top=0.5)).version == Gate(Thresholds(top=0.5)).version
