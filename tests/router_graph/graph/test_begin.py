"""What cannot be asked is refused in one sentence, before anything is spent."""

from __future__ import annotations

import base64
import io

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from PIL import Image

from router_graph import Answer, RouterContext, RouterError, create_router
from router_graph.images import image_bytes, image_url
from support.routing import Script, Shelf


def see(view):
    return Answer(f"{view.question} with {len(view.images)} after {view.earlier}")


GRAPH = create_router([Shelf("docs")], policy=Script(see))


def picture() -> str:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "There is no question"),
        ({"question": "   "}, "The question is empty"),
        ({"messages": [AIMessage("hi")]}, "There is no question"),
        ({"messages": [HumanMessage("")]}, "The question is empty"),
        ({"question": "caf\udce9"}, "not UTF-8"),
        ({"question": "x" * 2**20}, "1,048,576 characters"),
        ({"question": "x", "images": ["/etc/passwd"]}, "must be a URL of the form data:image"),
        ({"question": "x", "images": ["http://127.0.0.1/a.png"]}, "must be a URL of the form data:image"),
        ({"question": "x", "images": ["data:image/png;base64,AAAA"]}, "no picture that can be read"),
        ({"question": "x", "images": ["data:image/png;base64,A?"]}, "base64 cannot be read"),
    ],
)
def test_a_question_that_cannot_be_asked_is_one_sentence(given, problem):
    with pytest.raises(RouterError, match=problem) as raised:
        GRAPH.invoke(given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("context", "problem"),
    [
        ({"usd": 0}, "usd is 0"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"polcy": "x"}, "did you mean 'policy'"),
        ({"policy": "heuristics"}, "heuristic"),
        ({"protocol": "tag"}, "tags"),
        ({"route": "docs"}, "route"),
        ({"only": ["kb:dogs"]}, "did you mean 'kb:docs'"),
    ],
)
def test_a_context_that_cannot_be_kept_is_one_sentence(context, problem):
    with pytest.raises(RouterError, match=problem) as raised:
        GRAPH.invoke({"question": "x"}, context=context)
    assert "\n" not in str(raised.value)


def test_the_question_is_the_last_human_message_and_the_others_came_before():
    said = [HumanMessage("One?"), AIMessage("Two."), HumanMessage("Three?"), AIMessage("Transferred.")]
    assert GRAPH.invoke({"messages": said})["answer"] == "Three? with 0 after (('human', 'One?'), ('ai', 'Two.'))"


def test_pictures_come_from_the_input_and_from_the_message():
    blocks = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": picture()}}]
    assert GRAPH.invoke({"messages": [HumanMessage(blocks)]})["answer"].startswith("What? with 1")
    assert GRAPH.invoke({"question": "What?", "images": [picture()]})["answer"].startswith("What? with 1")


def test_a_picture_file_becomes_a_url_and_its_bytes_come_back(tmp_path):
    path = tmp_path / "p.png"
    Image.new("RGB", (4, 4)).save(path)
    assert image_bytes(image_url(path)) == path.read_bytes()
    (tmp_path / "no.png").write_text("no")
    for bad, problem in (("no.png", "no picture"), ("gone.png", "cannot be read")):
        with pytest.raises(RouterError, match=problem):
            image_url(tmp_path / bad)


def test_a_context_is_taken_from_a_mapping_an_object_and_a_foreign_contexts_field():
    assert GRAPH.invoke({"question": "x"}, context=RouterContext(max_steps=1))["stop_reason"] == "answered"
    assert GRAPH.invoke({"question": "x"}, context={"max_steps": 1})["stop_reason"] == "answered"
