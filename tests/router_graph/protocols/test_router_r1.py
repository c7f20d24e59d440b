"""Router-R1's grammar, mended and as in its code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from langchain_core.messages import AIMessage

from router_graph.actions import Answer, Malformed, RouteToKB, RouteToLLM
from router_graph.protocols.messages import text_of
from router_graph.protocols.router_r1 import RouterR1
from support.views import found, hit, observation, option, said, step, view_of

MENDED, PAPER = RouterR1(), RouterR1(mended=False)
VIEW = view_of(option("llm:fast", "Quick; $0.2."), option("llm:strong", "Thorough; $2."), "kb:books", question="Who?")
ASKED = RouteToLLM("fast", "Who?")
GOLDEN = "<think>I need help from fast.</think>\n<search> fast: Who wrote Dune: Part Two? </search>"


def read(protocol, reply, view=VIEW):
    return protocol.read(AIMessage(reply), view).actions


def told(protocol, came, reply=GOLDEN, action=ASKED, **facts):
    """What the policy is sent after a step."""
    steps = [{**step(1, (action, came)), "reply": reply}]
    (message,) = protocol.messages(replace(VIEW, steps=tuple(steps), **facts))
    return text_of(message)


def test_the_papers_reply_is_read_with_its_thought():
    reading = MENDED.read(AIMessage(GOLDEN), VIEW)
    assert reading.thought == "I need help from fast."
    assert reading.actions == (RouteToLLM("fast", "Who wrote Dune: Part Two?"),)
    for protocol in (MENDED, PAPER):
        assert read(protocol, "<think>t</think>\n<answer> Beijing </answer>") == (Answer("Beijing"),)


def test_a_colon_in_the_query_is_kept_and_unmended_what_follows_it_is_lost():
    assert read(MENDED, GOLDEN)[0].query == "Who wrote Dune: Part Two?"
    assert read(PAPER, GOLDEN)[0].query == "Who wrote Dune"


def test_an_unknown_name_is_answered_with_those_that_there_are_and_unmended_with_none():
    reply = "<search> gpt: Who? </search>"
    (action,) = read(MENDED, reply)
    assert action == Malformed("There is no source 'gpt'; there is fast, strong, kb:books.")
    assert "there is fast, strong, kb:books.</problem>" in told(MENDED, None, reply, action)
    assert read(PAPER, reply) == (RouteToLLM("gpt", "Who?"),)
    refused = told(PAPER, observation("refused", "There is no llm:gpt."), reply, RouteToLLM("gpt", "Who?"))
    assert refused.endswith("</search>\n\n<information>None</information>")


@pytest.mark.parametrize(
    "reply",
    [
        "I know it.",
        "<search> fast </search>",
        "<search> fast: </search>",
        "<search> LLM-Name: Who? </search>",
        "<search> LLM-Name:Your-Query </search>",
    ],
)
def test_of_an_action_that_is_none_it_is_said_what_is_wrong_and_unmended_nothing_is(reply):
    for protocol in (MENDED, PAPER):
        (action,) = read(protocol, reply)
        assert isinstance(action, Malformed)
        assert ("<problem>" in told(protocol, None, reply, action)) is (protocol is MENDED)


def test_the_first_action_counts_and_searches_right_behind_it():
    assert read(MENDED, "<answer>a</answer> <search>fast: Who?</search>") == (Answer("a"),)
    assert read(MENDED, "<search>fast: Who?</search> So: <answer>a</answer>") == (ASKED,)
    two = "<search>fast: Who?</search>\n<search>strong: Who?</search> and <search>fast: b</search>"
    assert read(MENDED, two) == (ASKED, RouteToLLM("strong", "Who?"))
    assert read(PAPER, two) == (ASKED,)


def test_unmended_a_search_wins_over_an_answer_that_it_interrupts_and_one_that_is_only_thought_counts():
    assert read(PAPER, "<answer> It is <search>fast: Who?</search></answer>") == (ASKED,)
    assert isinstance(read(MENDED, "<answer> It is <search>fast: Who?</search></answer>")[0], Malformed)
    thought = "<think>maybe <search>fast: Who?</search></think><answer>a</answer>"
    assert (read(PAPER, thought), read(MENDED, thought)) == ((ASKED,), (Answer("a"),))


@pytest.mark.parametrize("protocol", [MENDED, PAPER])
def test_a_closing_tag_that_a_samplers_stop_cut_off_is_put_back(protocol):
    assert read(protocol, "<think>t</think><search> fast: Who? ") == (ASKED,)
    assert read(protocol, "<think>t</think><answer> a ") == (Answer("a"),)
    assert "<search> fast: Who?</search>\n\n<information>" in told(protocol, said("42"), "<search> fast: Who?")


def test_a_long_observation_is_cut_in_its_tag_and_unmended_with_it():
    long = said("word " * 5_000)
    assert told(MENDED, long).endswith("…</information>")
    assert "</information>" not in told(PAPER, long).split("Question: ")[1]


def test_a_failure_is_told_and_unmended_it_is_none():
    failed = observation("failed", "It hung up.")
    assert told(MENDED, failed).endswith("<information>failed: It hung up.</information>")
    assert told(PAPER, failed).endswith("<information>None</information>")


def test_the_last_turn_is_announced_with_the_reason_and_unmended_it_is_not():
    assert "You must answer now, because no step is left." in told(MENDED, said("42"), must_answer="steps")
    assert told(PAPER, said("42"), must_answer="steps") == told(PAPER, said("42"))


def test_the_prompt_has_names_descriptions_the_question_and_what_came_before_it():
    view = replace(VIEW, earlier=(("human", "What?"),), images=("data:x",), masked={"llm:fast": "too dear"})
    (message,) = MENDED.messages(view)
    text = text_of(message)
    assert "letter for letter: fast, strong, kb:books." in text
    assert "fast: (not available now: too dear)\nQuick; $0.2." in text
    assert "Said before:\nhuman: What?\n\nQuestion: Who?" in text
    assert message.content[1]["image_url"] == {"url": "data:x"}
    assert "kb:books" not in text_of(PAPER.messages(view)[0])


def test_knowledge_bases_are_asked_by_their_key_and_their_hits_are_told_with_names():
    assert read(MENDED, "<search>kb:books: Dune: who?</search>") == (RouteToKB("books", "Dune: who?"),)
    assert read(MENDED, "<search>books: who?</search>") == (RouteToKB("books", "who?"),)
    action = RouteToKB("books", "who?")
    assert "<information>[books:1] text</information>" in told(MENDED, found(hit("text")), action=action)


def test_the_text_grows_in_one_message_or_as_the_policys_own_where_the_server_continues_it():
    first = {**step(1, (ASKED, said("42"))), "reply": "<search>fast: Who?</search> idle talk <answer>7</answer>"}
    second = {**step(2, (RouteToLLM("strong", "b"), said("43"))), "reply": "<search>strong: b</search>"}
    view = replace(VIEW, steps=(first, second))
    grown = (
        "<search>fast: Who?</search>\n\n<information>42</information>\n\n"
        "<search>strong: b</search>\n\n<information>43</information>"
    )
    assert text_of(MENDED.messages(view)[0]).endswith(f"Question: Who?\n\n{grown}")
    prompt, text = RouterR1(continues=True).messages(view)
    assert (prompt.type, text.type, text.content) == ("human", "ai", f"{grown}\n\n")
    assert RouterR1(continues=True).messages(VIEW)[0].content == prompt.content
