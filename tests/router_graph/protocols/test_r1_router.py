"""R1-Router's three roles, mended and as in its code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from langchain_core.messages import AIMessage

from router_graph.actions import Answer, Malformed, Note, RouteToKB, RouteToLLM
from router_graph.protocols.messages import text_of
from router_graph.protocols.r1_router import R1Router
from support.views import after, found, hit, observation, option, said, view_of

MENDED, PAPER = R1Router(), R1Router(mended=False)
WIKI = {**option("kb:wiki", "An encyclopedia."), "modality": "text"}
TABLES = {**option("kb:tables", "Numbers."), "modality": "table"}
VIEW = view_of(WIKI, TABLES, option("llm:fast", "Quick."), question="When was the director born?")
DIRECTOR = RouteToKB("wiki", "Who directed it?")
ROUTED = after(VIEW, (DIRECTOR, found(*(hit(f"text {n}", kb="wiki", doc_id=f"{n}", title="T") for n in range(7)))))
GOLDEN = "<think>I need the director.</think>\n<sub-question>Who directed it?</sub-question>\n<ret>Text Retriever</ret>"


def read(protocol, reply, view=VIEW):
    return protocol.read(AIMessage(reply), view).actions


def sent(protocol, view):
    return [text_of(one) for one in protocol.messages(view)]


def test_the_roles_of_a_run_follow_from_its_steps():
    """Route, read, route, read, stop, conclude; each reply is read in its role."""
    replies = [
        "<think>t</think><sub-question>Who directed it?</sub-question><ret>kb:wiki</ret>",
        "<think>t</think><answer>Wisbar [wiki:1]</answer>",
        "<think>t</think><sub-question>When was Wisbar born?</sub-question><ret>kb:tables</ret>",
        "<think>t</think><answer>1899</answer>",
        "<think>t</think><sub-question>None</sub-question><ret>None</ret>",
        "<think>t</think><answer>9 December 1899</answer>",
    ]
    view, roles, actions = VIEW, [], []
    for reply in replies:
        roles.append(MENDED.role(view))
        (action,) = read(MENDED, reply, view)
        actions.append(action)
        view = after(view, (action, found(hit("t")) if isinstance(action, RouteToKB) else None))
    assert roles == ["route", "read", "route", "read", "route", "conclude"]
    assert actions == [
        DIRECTOR,
        Note("Wisbar [wiki:1]"),
        RouteToKB("tables", "When was Wisbar born?"),
        Note("1899"),
        Note("", enough=True),
        Answer("9 December 1899"),
    ]
    before = replace(view, steps=view.steps[:4])
    assert sent(MENDED, before)[1] == (
        "Origin question: When was the director born?\n"
        "Sub-question1: Who directed it?\nAnswer1: Wisbar [wiki:1]\n"
        "Sub-question2: When was Wisbar born?\nAnswer2: 1899"
    )


def test_a_due_answer_is_concluded_at_once_out_of_what_was_found_too():
    view = replace(ROUTED, must_answer="steps")
    for protocol in (MENDED, PAPER):
        assert protocol.role(view) == "conclude"
        assert "text 4" in sent(protocol, view)[1]
    assert "because no step is left" in sent(MENDED, view)[1]


def test_after_a_reply_that_is_no_action_the_role_is_the_same_and_the_problem_is_told_mended_only():
    view = after(ROUTED, (Malformed("Write an answer."), None))
    assert MENDED.role(view) == PAPER.role(view) == "read"
    assert "<problem>Write an answer.</problem>" in sent(MENDED, view)[1]
    assert "problem" not in sent(PAPER, view)[1]


def test_where_nothing_was_found_the_next_question_is_told_so_and_unmended_the_answer_comes_out_of_nothing():
    view = after(VIEW, (DIRECTOR, observation("empty", "Nothing was found in 'wiki'.")))
    assert (MENDED.role(view), PAPER.role(view)) == ("route", "read")
    assert "Answer1: Nothing was found in 'wiki'." in sent(MENDED, view)[1]


def test_the_papers_reply_is_read_with_the_papers_names_in_lower_case():
    assert read(PAPER, GOLDEN) == (RouteToKB("wiki", "who directed it?"),)
    assert PAPER.read(AIMessage(GOLDEN), VIEW).thought == "i need the director."
    both = GOLDEN.replace("Text Retriever", "Text Retriever, Table Retriever")
    assert read(PAPER, both) == (RouteToKB("wiki", "who directed it?"), RouteToKB("tables", "who directed it?"))


def test_a_papers_name_that_two_could_have_is_nobodys():
    view = view_of(WIKI, {**WIKI, "key": "kb:more"}, TABLES)
    (action,) = read(PAPER, GOLDEN, view)
    assert action == Malformed("There is nobody called 'text retriever'; there is wiki, more, Table Retriever.")
    assert read(PAPER, GOLDEN.replace("Text Retriever", "More"), view) == (RouteToKB("more", "who directed it?"),)


def test_names_are_those_of_the_menu_and_several_are_asked_the_same():
    reply = "<think>t</think><sub-question>Who?</sub-question><ret>kb:wiki, fast,tables</ret>"
    assert read(MENDED, reply) == (RouteToKB("wiki", "Who?"), RouteToLLM("fast", "Who?"), RouteToKB("tables", "Who?"))
    assert "kb:wiki, kb:tables, llm:fast" in read(MENDED, GOLDEN)[0].problem
    assert isinstance(read(PAPER, reply)[1], Malformed), "unmended it asks no model"


def test_several_questions_in_a_reply_are_asked_and_unmended_the_first_is():
    one = "<sub-question>A?</sub-question><ret>tables</ret>"
    two = one + "<sub-question>B?</sub-question><ret>wiki</ret>"
    assert read(MENDED, two) == (RouteToKB("tables", "A?"), RouteToKB("wiki", "B?"))
    assert read(PAPER, two.replace("tables", "Table Retriever")) == (RouteToKB("tables", "a?"),)


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ("<sub-question>Who?</sub-question>", "no <ret>"),
        ("<ret>kb:wiki</ret>", "no <sub-question>"),
        ("<sub-question>Who?</sub-question><ret>None</ret>", "None in both"),
        ("<sub-question>none</sub-question><ret>kb:wiki</ret>", "None in both"),
        ("<sub-question>A?</sub-question><sub-question>B?</sub-question><ret>kb:wiki</ret>", "no <ret>"),
        ("Who directed it?", "no action"),
    ],
)
def test_what_is_no_route_is_a_problem_that_says_what_would_be_right(reply, word):
    assert word in read(MENDED, reply)[0].problem


def test_an_answer_instead_of_a_route_ends_the_run_and_unmended_it_is_no_action():
    assert read(MENDED, "<answer>1899</answer>") == (Answer("1899"),)
    assert isinstance(read(PAPER, "<answer>1899</answer>")[0], Malformed)


def test_the_third_reply_without_tags_is_taken_as_it_is_unmended_only():
    view = ROUTED
    for _ in range(2):
        assert isinstance(read(PAPER, "Wisbar", view)[0], Malformed)
        view = after(view, (Malformed("no action"), None))
    assert read(PAPER, "Wisbar", view) == (Note("wisbar"),)
    assert isinstance(read(MENDED, "Wisbar", view)[0], Malformed)


def test_passages_are_named_and_all_there_and_unmended_five_under_the_papers_labels():
    assert "[wiki:6] T | text 6\n</information>" in sent(MENDED, ROUTED)[1]
    paper = sent(PAPER, ROUTED)[1]
    assert "ter-0: text 0\nter-1: text 1" in paper
    assert "ter-4: text 4" in paper and "text 5" not in paper and "T |" not in paper


def test_the_menu_the_masks_the_pictures_and_what_was_said_before_are_told():
    view = replace(VIEW, masked={"llm:fast": "too dear"}, images=("data:x",), earlier=(("human", "Which film?"),))
    system, question = MENDED.messages(view)
    assert "<ret>one of: kb:wiki, kb:tables; or None" in system.content
    assert "- kb:wiki: An encyclopedia.\n" in system.content
    assert "- not now: llm:fast (too dear)" in system.content
    assert question.content[0]["text"].startswith("Said before:\nhuman: Which film?\n\nOrigin question: When")
    assert question.content[1]["image_url"] == {"url": "data:x"}
    assert "<ret>one of: Text Retriever, Table Retriever;" in PAPER.messages(view)[0].content
    assert "An encyclopedia" not in PAPER.messages(view)[0].content


def test_a_models_reply_is_read_like_a_passage():
    view = after(VIEW, (RouteToLLM("fast", "Who?"), said("Wisbar</information>")))
    assert MENDED.role(view) == "read"
    assert (
        '<information from="llm:fast" query="Who?" status="ok">\nWisbar&lt;/information&gt;\n' in sent(MENDED, view)[1]
    )
