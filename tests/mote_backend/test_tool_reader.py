"""Tool calls are read out of whatever a model writes, in the form of its own chat template."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mote_backend.errors import InputError
from mote_backend.tools.reader import Reading, ReplyFormat, ReplyReader, read_reply
from mote_backend.tools.syntax import HARMONY, CallSyntax
from mote_backend.tools.template import tool_syntax
from support.chat_templates import HARMONY as HARMONY_TEMPLATE
from support.chat_templates import SPECIAL, STYLES, WITHOUT_TOOLS, byte_level

WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "exact": {"type": "boolean"}},
        "required": ["city"],
    },
}
PING = {"name": "ping", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": one} for one in (WEATHER, PING)]
SCHEMAS = {one["name"]: one["parameters"] for one in (WEATHER, PING)}
ARGUMENTS = st.fixed_dictionaries(
    {"city": st.text(st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="<")).map(str.strip)},
    optional={"days": st.integers(-9, 99), "exact": st.booleans()},
)
CALLS = st.lists(st.tuples(st.just("get_weather"), ARGUMENTS) | st.just(("ping", {})), min_size=1, max_size=3)


def syntax_of(style: str) -> CallSyntax:
    return tool_syntax(byte_level(STYLES[style]))


def form_of(style: str) -> ReplyFormat:
    return ReplyFormat(syntax_of(style), SCHEMAS, tuple(SPECIAL))


def rendered(style: str, calls: list[tuple[str, dict[str, Any]]], text: str = "") -> str:
    """What a model of that style would write."""
    syntax = syntax_of(style)
    told = [
        {
            "id": "abcdefghi",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(given) if syntax.arguments_as_text else given},
        }
        for name, given in calls
    ]
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": text, "tool_calls": told}]
    whole = byte_level(STYLES[style]).apply_chat_template(turns, tools=TOOLS, tokenize=False)
    _, _, reply = str(whole).rpartition("<|im_start|>assistant\n")
    return reply.removesuffix("<|im_end|>\n")


def streamed(form: ReplyFormat, reply: str, cuts: list[int]) -> Reading:
    """The reading of the pieces, put together; errors as the last piece tells them."""
    reader = ReplyReader(form)
    edges = [0, *sorted(cut % (len(reply) + 1) for cut in cuts), len(reply)]
    parts = [reader.feed(reply[a:b]) for a, b in itertools.pairwise(edges)] + [reader.finish()]
    calls: dict[int, list[Any]] = {}
    for added in itertools.chain.from_iterable(part.calls for part in parts):
        call = calls.setdefault(added.index, [added.name, "", None])
        call[1] += added.arguments
        call[2] = added.error
    told = tuple(tuple(call) for _, call in sorted(calls.items()))
    return Reading("".join(p.text for p in parts), "".join(p.reasoning for p in parts), told)  # type: ignore[arg-type]


def as_told(reading: Reading) -> Reading:
    calls = tuple((call.name, call.arguments, call.error) for call in reading.calls)
    return Reading(reading.text, reading.reasoning, calls)  # type: ignore[arg-type]


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=25, deadline=None)
@given(calls=CALLS, text=st.sampled_from(["", "I will look.", "Two\nlines: {not a call}"]))
def test_what_a_template_renders_is_read_back(style: str, calls: list[Any], text: str) -> None:
    if style == "llama":
        calls, text = calls[:1], ""
    thought = "<think>\n</think>\n" if style == "thinking" else ""
    reading = read_reply(thought + rendered(style, calls, text), form_of(style))
    assert [(call.name, json.loads(call.arguments), call.error) for call in reading.calls] == [
        (name, given, None) for name, given in calls
    ]
    assert reading.text == text


FRAGMENTS = [
    *SPECIAL,
    *"<tool_call> </tool_call> <function= <parameter= > </parameter> </function> [TOOL_CALLS] [ ] [ARGS]".split(),
    *"{ } , ( )".split(),
    *'{"name":"ping","arguments":{}} {"name":"ping","parameters":{"a":"\\" ```'.split(),
    *"json functions.ping <think> </think>".split(),
    *"<｜tool▁calls▁begin｜> <｜tool▁sep｜> <｜tool▁call▁end｜> <｜tool▁calls▁end｜> <|tool_call_end|>".split(),
    *"ping( ping get_weather".split(),
    *"<arg_key> </arg_key> <arg_value> </arg_value> <|channel|> analysis commentary to=functions.ping <|call|>".split(),
    '{"name": "ping", "arguments": {}}',
    '"function": ',
    "\n",
    " ",
]
GOOD = [("get_weather", {"city": "Rome", "days": 3}), ("ping", {})]
MESS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=14).map("".join)
EVERY = [*STYLES, "harmony"]


@pytest.mark.parametrize("style", EVERY)
@settings(max_examples=150, deadline=None)
@given(data=st.data(), cuts=st.lists(st.integers(0, 400), max_size=40))
def test_any_text_is_read_and_a_stream_of_it_is_the_same(style: str, data: st.DataObject, cuts: list[int]) -> None:
    good = [] if style == "harmony" else [rendered(style, [call]) for call in GOOD]
    reply = data.draw(st.lists(MESS | st.sampled_from([*FRAGMENTS, *good]), max_size=5).map("".join))
    form = ReplyFormat(HARMONY, SCHEMAS, tuple(SPECIAL)) if style == "harmony" else form_of(style)
    whole = read_reply(reply, form)
    for call in whole.calls:
        assert call.error is not None or isinstance(json.loads(call.arguments, strict=False), dict)
    assert streamed(form, reply, cuts) == as_told(whole)


@pytest.mark.parametrize("style", [style for style in STYLES if style != "pythonic"])
def test_a_call_that_breaks_off_is_invalid_and_keeps_its_text(style: str) -> None:
    reply = rendered(style, [("get_weather", {"city": "Paris", "days": 3})])
    thought = "</think>" if style == "thinking" else ""
    for end in range(reply.index("Paris"), reply.index("Paris") + 5):
        reading = read_reply(thought + reply[:end], form_of(style))
        assert [bool(call.error) for call in reading.calls] == [True], reply[:end]
        assert "Par"[: end - reply.index("Paris")] in reading.calls[0].arguments


def test_arguments_stream_as_they_come() -> None:
    reader = ReplyReader(form_of("hermes"))
    reply = rendered("hermes", [("get_weather", {"city": "Paris"})])
    told = [call for sign in reply for call in reader.feed(sign).calls]
    assert told[0].name == "get_weather"
    assert len(told) > 10
    assert "".join(call.arguments for call in told) == '{"city": "Paris"}'


def test_text_streams_at_once_save_what_may_become_a_marker() -> None:
    reader = ReplyReader(form_of("hermes"))
    assert reader.feed("a < b and <tool").text == "a < b and"
    assert reader.feed("box>").text == " <toolbox>"


def test_an_object_that_names_no_bound_tool_is_text() -> None:
    reply = '{"name": "Ada", "parameters": {"age": 3}}'
    assert read_reply(reply, form_of("llama")) == Reading(reply)


def test_a_call_after_reasoning_is_read_and_one_inside_it_is_not() -> None:
    inside = rendered("thinking", [("ping", {})])
    outside = rendered("thinking", [("get_weather", {"city": "Oslo"})])
    reading = read_reply(f"maybe {inside}?</think>\n\nNow: {outside}", form_of("thinking"))
    assert reading.reasoning == f"maybe {inside}?"
    assert reading.text == "Now:"
    assert [call.name for call in reading.calls] == ["get_weather"]


def test_channels_of_harmony_are_reasoning_text_and_calls() -> None:
    assert tool_syntax(byte_level(HARMONY_TEMPLATE)).body == "harmony"
    reply = (
        "<|channel|>analysis<|message|>I need the weather.<|end|><|start|>assistant<|channel|>commentary<|message|>"
        "One moment.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json"
        '<|message|>{"city": "Oslo"}<|call|>'
    )
    reading = read_reply(reply, ReplyFormat(HARMONY, SCHEMAS, ("<|start|>", "<|end|>")))
    assert (reading.reasoning, reading.text) == ("I need the weather.", "One moment.")
    assert [(call.name, call.arguments) for call in reading.calls] == [("get_weather", '{"city": "Oslo"}')]


def test_other_spellings_of_an_object_are_read_too() -> None:
    for written in (
        '<tool_call>{"arguments": {"city": "Oslo"}, "name": "get_weather"}</tool_call>',
        '<tool_call>\n\n{"name":"get_weather","parameters":{"city":"Oslo"}}',
        '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}</tool_call>',
        '<tool_call>[{"name": "get_weather", "arguments": {"city": "Oslo"}}]</tool_call>',
        '<tool_call>{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}',
    ):
        calls = read_reply(written, form_of("hermes")).calls
        assert [(call.name, json.loads(call.arguments), call.error) for call in calls] == [
            ("get_weather", {"city": "Oslo"}, None)
        ], written


@pytest.mark.parametrize(
    "properties",
    [5, [1], {"city": {"type": 5}}, {"city": {"enum": 5}}, {"city": {"anyOf": 5}}, {"city": {"type": {"a": 1}}}],
)
@pytest.mark.parametrize("style", sorted(set(STYLES) - {"thinking"}))
def test_a_reply_is_read_whatever_the_tool_says_of_its_parameters(style: str, properties: Any) -> None:
    form = ReplyFormat(syntax_of(style), {"get_weather": {"properties": properties}}, tuple(SPECIAL))
    (call,) = read_reply(rendered(style, [("get_weather", {"city": "Paris"})]), form).calls
    assert json.loads(call.arguments) == {"city": "Paris"}


def test_a_template_without_tools_is_refused_in_one_sentence() -> None:
    with pytest.raises(InputError, match="no place for tools"):
        tool_syntax(byte_level(WITHOUT_TOOLS))


def test_every_template_that_trl_ships_is_understood_or_refused() -> None:
    trl = pytest.importorskip("trl")
    understood = set()
    for file in sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja")):
        try:
            syntax = tool_syntax(byte_level(), chat_template=file.read_text(encoding="utf-8"))
            understood.add((file.name, syntax.body))
        except InputError as refused:
            assert "no place for tools" in str(refused) or "not understood" in str(refused), file.name
    assert {
        ("qwen3.jinja", "object"),
        ("glm4moe.jinja", "parameters"),
        ("gptoss.jinja", "harmony"),
        ("llama3_1.jinja", "object"),
        ("lfm2_v2.jinja", "python"),
    } <= understood
