"""Every action survives being written and read, in every protocol, as far as its grammar has words for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from router_graph.actions import Answer, Malformed, Note, RouteToKB, RouteToLLM
from router_graph.protocols.r1_router import R1Router
from router_graph.protocols.router_r1 import RouterR1
from support.replies import ALL, MENDED, answers, notes, routes, said, texts
from support.views import after, found, hit, option, view_of

EMPTY = view_of("kb:books", "kb:tables", "llm:fast", "llm:big/one@2")
FOUND = after(EMPTY, (RouteToKB("books", "x"), found(hit("y"))))
VIEWS = st.sampled_from([EMPTY, FOUND, replace(FOUND, must_answer="steps")])
each_mended = pytest.mark.parametrize("protocol", MENDED.values(), ids=MENDED)


@each_mended
@settings(max_examples=50)
@given(
    thought=texts, actions=st.lists(routes, min_size=1, max_size=4, unique=True), view=st.sampled_from([EMPTY, FOUND])
)
def test_routes_survive_side_by_side_with_the_thought(protocol, thought, actions, view):
    reading = protocol.read(protocol.write(thought, actions, view), view)
    assert reading.actions == tuple(actions)
    assert reading.thought == thought.strip()


@each_mended
@settings(max_examples=50)
@given(action=answers, view=VIEWS)
def test_an_answer_survives(protocol, action, view):
    assert protocol.read(protocol.write("t", [action], view), view).actions == (action,)


@each_mended
@settings(max_examples=50)
@given(action=notes, view=st.sampled_from([EMPTY, FOUND]))
def test_a_note_survives(protocol, action, view):
    assert protocol.read(protocol.write("t", [action], view), view).actions == (action,)


@each_mended
@settings(max_examples=50)
@given(route=routes, text=said)
def test_what_is_written_survives_the_cut_of_a_samplers_stop(protocol, route, text):
    for action in (route, Answer(text)):
        reply = protocol.write("t", [action], EMPTY)
        whole = str(reply.text)
        at = min((whole.index(stop) for stop in protocol.stop if stop in whole), default=len(whole))
        assert protocol.read(reply.model_copy(update={"content": whole[:at]}), EMPTY).actions == (action,)


@each_mended
def test_the_space_at_the_ends_of_a_text_is_lost_and_no_other(protocol):
    action = RouteToKB("books", "  a\n b  ")
    assert protocol.read(protocol.write(" t ", [action], EMPTY), EMPTY).actions == (RouteToKB("books", "a\n b"),)


@pytest.mark.parametrize("protocol", ALL.values(), ids=ALL)
def test_a_problem_cannot_be_said(protocol):
    reading = protocol.read(protocol.write("", [Malformed("x")], FOUND), FOUND)
    assert not any(isinstance(one, RouteToKB | RouteToLLM | Answer) for one in reading.actions)


@given(model=st.sampled_from(["fast", "big/one@2"]), query=said.filter(lambda q: not set(q) & set("<>&:")))
def test_unmended_router_r1_asks_one_model(model, query):
    protocol = RouterR1(mended=False)
    if "your-query" in query.lower() or "llm-name" in query.lower():
        return
    reply = protocol.write("t", [RouteToLLM(model, query, evidence=True), RouteToLLM("fast", "more")], EMPTY)
    assert protocol.read(reply, EMPTY).actions == (RouteToLLM(model, query),)


def test_unmended_r1_router_reaches_the_answer_of_a_policy_through_its_roles():
    protocol, answer = R1Router(mended=False), Answer("42")
    view = after(EMPTY, (RouteToKB("books", "x"), found(hit("y"))))
    roles = []
    for _ in range(4):
        roles.append(protocol.role(view))
        (action,) = protocol.read(protocol.write("t", [answer], view), view).actions
        if action == answer:
            break
        view = after(view, (action, None))
    assert roles == ["read", "route", "conclude"]


@each_mended
def test_options_that_share_a_name_are_kept_apart(protocol):
    view = view_of("kb:x", "llm:x", "llm:kb", "kb:llm")
    actions = (RouteToKB("x", "a: b"), RouteToLLM("x", "a: b"), RouteToLLM("kb", "x: b"), RouteToKB("llm", "x: b"))
    assert protocol.read(protocol.write("", actions, view), view).actions == actions


@each_mended
def test_what_is_on_no_menu_is_not_asked(protocol):
    reading = protocol.read(protocol.write("", [RouteToKB("nowhere", "q")], EMPTY), EMPTY)
    assert reading.actions in ((RouteToKB("nowhere", "q"),),) or "kb:books" in reading.actions[0].problem


@each_mended
def test_an_answer_beside_a_route_is_a_guess_unless_only_an_answer_is_legal(protocol):
    if protocol.name == "router_r1":
        return  # there the first action counts
    actions = [RouteToKB("books", "q"), Answer("guess")]
    assert protocol.read(protocol.write("", actions, EMPTY), EMPTY).actions == (RouteToKB("books", "q"),)
    forced = replace(EMPTY, must_answer="usd")
    assert protocol.read(protocol.write("", actions, EMPTY), forced).actions == (Answer("guess"),)


@each_mended
def test_where_it_must_answer_a_reply_without_tags_is_the_answer(protocol):
    forced = replace(FOUND, must_answer="usd")
    assert protocol.read(AIMessage("<think>t</think> Paris [books:1]"), forced).actions == (Answer("Paris [books:1]"),)


@each_mended
def test_the_same_route_twice_in_a_reply_is_one(protocol):
    view = view_of(option("kb:books"))
    reply = protocol.write("", [RouteToKB("books", "q"), RouteToKB("books", "q")], view)
    assert protocol.read(reply, view).actions == (RouteToKB("books", "q"),)


def test_notes_are_kept_beside_an_answer():
    actions = (Note("so far"), Answer("42"))
    assert MENDED["tags"].read(MENDED["tags"].write("", actions, EMPTY), EMPTY).actions == actions
