"""What the protocol `tags` tells a policy, and what it takes for an action."""

from __future__ import annotations

from dataclasses import replace

import pytest
from langchain_core.messages import AIMessage

from router_graph.actions import Answer, Malformed, Note, RouteToKB, RouteToLLM
from router_graph.protocols.messages import text_of
from router_graph.protocols.tags import Tags
from router_graph.state import Left
from support.views import after, found, hit, observation, option, said, step, view_of

TAGS = Tags()
VIEW = view_of(option("kb:books", "Novels."), option("kb:tables", "Numbers.", 0.002), "llm:fast", "kb:two", "llm:two")
BOOKS = RouteToKB("books", "q")


def read(reply: str, view=VIEW):
    return TAGS.read(AIMessage(reply), view).actions


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ('<ROUTE TO="kb:books">q</Route>', BOOKS),
        ("< route  to = 'kb:books' >q< /route >", BOOKS),
        ("<route to=kb:books>q</route>", BOOKS),
        ('<route to="books">q</route>', BOOKS),
        ('<route to="kb:books">q', BOOKS),
        ('<route to="kb:books">q<information from="kb:books">42</information><answer>42</answer>', BOOKS),
        ('<route k="3" to="kb:books" linked="[tables:a b]">q</route>', RouteToKB("books", "q", 3, "tables:a b")),
        ('<route to="llm:fast" evidence="Yes">a < b & c</route>', RouteToLLM("fast", "a < b & c", True)),
        ('<think>not <route to="kb:tables">x</route></think><route to="kb:books">q</route>', BOOKS),
        ('or <route to="kb:tables">x</route></think><route to="kb:books">q</route>', BOOKS),
        ("It is 42. <answer>42 [books:1]", Answer("42 [books:1]")),
        ("<answer>first</answer><answer>second</answer>", Answer("first")),
        ("<answer>use <b>bold</b></answer></answer>", Answer("use <b>bold</b>")),
        ('<note enough="yes"></note>', Note("", True)),
        ('<route to="kb:nowhere">q</route>', RouteToKB("nowhere", "q")),
    ],
)
def test_what_can_only_mean_one_thing_is_read_so(reply, action):
    assert read(reply) == (action,)


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ("", "no action"),
        ("The answer is 42.", "no action"),
        ("<think>hm", "</think>"),
        ("<answer> </answer>", "empty"),
        ('<route to="kb:books"> </route>', "asks nothing"),
        ("<route>q</route>", "kb:books, kb:tables"),
        ('<route to="two">q</route>', "no source 'two'"),
        ('<route to="web:books">q</route>', "no source"),
        ('<route to="kb:books" k="many">q</route>', "whole number"),
        ('<route to="kb:books" k="0">q</route>', "whole number"),
        ('<route to="kb:books" k="1e999">q</route>', "whole number"),
        ('<route to="kb:books" k="nan">q</route>', "whole number"),
        ('<route to="kb:books">a <answer>b</answer>', "not closed"),
        ('<route to="kb:books>a</route> <answer>a guess</answer>', "closes nothing"),
        ("<information>42</information><answer>42</answer>", "no action"),
    ],
)
def test_what_could_mean_several_things_is_a_problem_that_says_what_would_be_right(reply, word):
    assert [type(one) for one in read(reply)] == [Malformed]
    assert word in read(reply)[0].problem


def test_a_part_that_is_no_action_does_not_take_the_others_along():
    one, other = read('<route to="kb:books">q</route><route to="?">r</route><answer>a guess</answer>')
    assert one == BOOKS
    assert isinstance(other, Malformed)


def test_the_menu_stands_in_front_with_descriptions_prices_and_no_answer_to_route_to():
    system = text_of(TAGS.messages(VIEW)[0])
    assert "- kb:books: Novels." in system
    assert "- kb:tables ($0.002 a search): Numbers." in system
    assert "- answer" not in system
    assert '<route to="kb:books">' in system, "the example asks a source that there is"


def test_what_is_left_and_what_is_masked_stand_at_the_very_end():
    view = replace(VIEW, masked={"llm:fast": "too <dear>"}, left=Left(steps=1, usd=0.5, tokens=1200, seconds=30.2))
    (system, question) = TAGS.messages(view)
    assert question.content.endswith(
        "Left: 1 step, $0.5, 1,200 tokens, 30 s.\nNot available now: llm:fast (too &lt;dear&gt;)."
    )
    assert "too" not in system.content.split("Sources:")[1]


def test_a_due_answer_is_demanded_with_the_reason_and_without_the_masks():
    view = replace(VIEW, must_answer="usd", masked={"kb:books": "the answer is due"})
    last = TAGS.messages(view)[-1].content
    assert "You must answer now, because the money is spent." in last
    assert "Not available" not in last


def test_what_was_said_before_and_pictures_come_with_the_question():
    view = replace(VIEW, earlier=(("human", "Who?"), ("ai", "Herbert")), images=("data:image/png;base64,AA",))
    before, answer, question = TAGS.messages(view)[1:]
    assert (before.content, answer.content) == ("Question: Who?", "<answer>Herbert</answer>")
    assert text_of(question) == f"Question: {VIEW.question}Left: 6 steps."
    assert TAGS.messages(view)[-1].content[1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    assert all("image_url" not in str(one.content) for one in TAGS.messages(after(view, (BOOKS, found())))[4:])


def test_every_outcome_of_a_route_is_told_with_its_status():
    outcomes = ["empty", "failed", "refused", "declined", "repeated"]
    came = [(BOOKS, observation(one, f"It is {one}.")) for one in outcomes]
    view = after(VIEW, *came, (RouteToLLM("fast", "q"), {**said("42"), "served": "llm:two"}), (Malformed("<x>"), None))
    told = TAGS.messages(view)[-1].content
    for status in outcomes:
        assert f'<information from="kb:books" query="q" status="{status}">\nIt is {status}.\n</information>' in told
    assert '<information from="llm:fast" query="q" served="llm:two" status="ok">\n42\n</information>' in told
    assert "<problem>&lt;x&gt;</problem>" in told


def test_the_conversation_only_grows_so_that_a_provider_can_cache_it():
    steps = []
    before = TAGS.messages(VIEW)
    for number in range(1, 5):
        came = (BOOKS, found(hit(f"text {number}", kb="books")))
        steps.append({**step(number, came), "reply": f'<think>{number}</think><route to="kb:books">q</route>'})
        view = replace(VIEW, steps=tuple(steps), left=Left(steps=6 - number, usd=None, tokens=None, seconds=None))
        now = TAGS.messages(view)
        assert now[: len(before) - 1] == before[:-1]
        assert before[-1].content.rpartition("\n\nLeft:")[0] == now[len(before) - 1].content.rpartition("\n\nLeft:")[
            0
        ] or (now[len(before) - 1].content == before[-1].content.rpartition("\n\nLeft:")[0])
        assert [one.type for one in now[1:]] == ["human", "ai"] * number + ["human"]
        before = now


def test_the_policy_is_not_shown_what_it_imagined_and_gets_back_the_tag_that_a_stop_cut_off():
    imagined = {**step(1, (BOOKS, found())), "reply": '<route to="kb:books">q</route>\n<information>42</information>'}
    stopped = {**step(2, (Note("n"), None)), "reply": "<note>n"}
    replies = [one.content for one in TAGS.messages(view_of("kb:books", steps=[imagined, stopped])) if one.type == "ai"]
    assert replies == ['<route to="kb:books">q</route>', "<note>n</note>"]


def test_a_policy_without_anybody_to_ask_is_told_so():
    assert "nobody" in text_of(TAGS.messages(view_of())[0])
