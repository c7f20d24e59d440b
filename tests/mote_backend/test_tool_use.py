"""Tools, tool choices and formats of a call: forced calls are of the template's form and of the tool's schema."""

from __future__ import annotations

import copy
import functools
import operator
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk

from mote_backend.errors import InputError
from mote_backend.grammar.grammar import Constraint, compile_grammar
from mote_backend.tools.calls import ToolUse, chosen, short_id
from mote_backend.tools.template import tool_syntax
from support.chat_templates import GEMMA, GEMMA_RESPONSES, HARMONY, STYLES, WITHOUT_TOOLS, byte_level

PLAN = {
    "type": "function",
    "function": {
        "name": "plan",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"enum": ["Oslo", "Bern"], "type": "string"},
                "days": {"type": "integer", "minimum": 1, "maximum": 9},
                "stay": {"$ref": "#/$defs/stay"},
            },
            "required": ["city", "days"],
            "$defs": {"stay": {"type": "object", "properties": {"nights": {"type": "integer", "maximum": 9}}}},
        },
    },
}
PING = {"type": "function", "function": {"name": "ping", "description": "Nothing is needed."}}
TOOLS = [PLAN, PING]


def use_of(template: str, **options: Any) -> ToolUse:
    tokenizer = byte_level(template)
    return ToolUse.of(tokenizer, {"tools": TOOLS, **options}, end_ids=[tokenizer.eos_token_id])


def said(template: str, constraint: Constraint, seed: int, *, hint: str = "") -> str:
    """What a model without sense says under the constraint, rather ending than going on."""
    torch.manual_seed(seed)
    tokenizer = byte_level(template)
    state = compile_grammar(constraint, tokenizer, [tokenizer.eos_token_id]).start()
    liked = tokenizer.encode(hint)
    ids: list[int] = []
    while not state.finished and len(ids) < 3000:
        logits = torch.randn(len(tokenizer))
        logits[tokenizer.eos_token_id] += 8
        if liked:
            logits[liked[0]] += 100
        state.mask(logits)
        chosen = int(logits.argmax())
        liked = liked[1:] if liked and chosen == liked[0] else liked
        state.advance(chosen)
        ids.append(chosen)
    return str(tokenizer.decode([one for one in ids if one != tokenizer.eos_token_id]))


@pytest.mark.parametrize("style", [*STYLES, "harmony"])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), name=st.sampled_from(["any", "plan", "ping"]))
def test_a_forced_call_is_one_of_the_template_and_of_the_schema(style: str, seed: int, name: str) -> None:
    template = HARMONY if style == "harmony" else STYLES[style]
    use = use_of(template, tool_choice=name)
    assert use.constraint is not None
    hint = {"thinking": "</think>", "harmony": "<|channel|>commentary"}.get(style, "")
    message = use.message(said(template, use.constraint, seed, hint=hint))
    assert message.tool_calls
    assert not message.invalid_tool_calls
    for call in message.tool_calls:
        assert name in ("any", call["name"])
        tool = {"plan": PLAN, "ping": PING}[call["name"]]
        jsonschema.validate(call["args"], tool["function"].get("parameters", {}))


def test_a_strict_tool_leaves_the_choice_and_holds_its_calls() -> None:
    for style in ("hermes", "qwen coder", "deepseek 3", "mistral", "pythonic"):
        use = use_of(STYLES[style], strict=True)
        assert use.constraint is not None
        assert said(STYLES[style], use.constraint, 0, hint="no call").startswith("no call")
        assert use.form is not None
        trigger = use.form.syntax.trigger
        for seed in range(4):
            message = use.message(said(STYLES[style], use.constraint, seed, hint="well " + trigger))
            assert str(message.content).startswith("well"), style
            assert message.tool_calls, style
            assert not message.invalid_tool_calls, style


def test_no_more_than_one_call_where_one_is_asked_for() -> None:
    one = use_of(STYLES["hermes"], tool_choice="any", parallel_tool_calls=False)
    more = use_of(STYLES["hermes"], tool_choice="any")
    assert one.constraint is not None and more.constraint is not None
    again = '<tool_call>\n{"name": "ping", "arguments": {}}\n</tool_call>\n' * 3
    counts = [len(use.message(said(STYLES["hermes"], use.constraint, 1, hint=again)).tool_calls) for use in (one, more)]
    assert counts[0] == 1 < counts[1]


def test_a_stream_of_chunks_is_the_message() -> None:
    use = use_of(STYLES["hermes"])
    call = '<tool_call>\n{"name": "plan", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>'
    reply = f'Yes.\n{call}\n<tool_call>{{"a": 1}}'
    stream = use.stream()
    chunks = [stream.feed(sign) for sign in reply] + [stream.finish()]
    whole = functools.reduce(operator.add, chunks, AIMessageChunk(content=""))
    message = use.message(reply)
    assert whole.content == message.content == "Yes."
    told = [(call["name"], call["args"]) for call in message.tool_calls]
    assert (
        [(call["name"], call["args"]) for call in whole.tool_calls] == told == [("plan", {"city": "Oslo", "days": 2})]
    )
    assert len(whole.invalid_tool_calls) == len(message.invalid_tool_calls) == 1
    assert stream.calls == 1
    assert len({call["id"] for call in whole.tool_calls}) == 1


def test_reasoning_stands_beside_the_text() -> None:
    message = use_of(STYLES["thinking"]).message("hm</think>\nHello")
    assert (message.content, message.additional_kwargs) == ("Hello", {"reasoning_content": "hm"})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, "auto"),
        ("auto", "auto"),
        ("any", "any"),
        ("required", "any"),
        (True, "any"),
        (False, "none"),
        ("none", "none"),
        ("ping", "ping"),
        ({"type": "function", "function": {"name": "plan"}}, "plan"),
        ({"name": "plan"}, "plan"),
    ],
)
def test_tool_choices(given: Any, meant: str) -> None:
    assert chosen(given, TOOLS) == meant


@pytest.mark.parametrize("bad", ["pong", {"a": 1}, 3])
def test_a_tool_choice_that_is_no_tool_is_one_sentence(bad: Any) -> None:
    with pytest.raises(InputError, match="give 'auto', 'any', 'none' or the name of a tool"):
        chosen(bad, TOOLS)


def test_tools_that_are_ruled_out_are_not_shown_and_calls_not_read() -> None:
    use = use_of(STYLES["hermes"], tool_choice="none")
    assert use == ToolUse()
    assert not use.message('<tool_call>{"name": "ping", "arguments": {}}</tool_call>').tool_calls


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        ({"type": "json_object"}, "json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "string"}}}, "json_schema"),
        ({"type": "regex", "pattern": "a+"}, "regex"),
        ({"type": "choice", "choice": ["a"]}, "choice"),
    ],
)
def test_a_response_format_is_a_constraint(wanted: Any, kind: str) -> None:
    use = ToolUse.of(byte_level(WITHOUT_TOOLS), {"response_format": wanted})
    assert use.constraint is not None
    assert use.constraint.kind == kind


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"response_format": {"type": "xml"}}, "response_format is not understood"),
        ({"response_format": "json"}, "response_format is not understood"),
        ({"constraint": "a+"}, "give a mote_backend Constraint"),
        ({"tool_choice": "any"}, "there are no tools"),
        ({"tools": TOOLS}, "no place for tools"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(options: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        ToolUse.of(byte_level(WITHOUT_TOOLS), options)


@pytest.mark.parametrize("tool", [5, "look", {"name": "look"}, {"function": {"name": ""}}, {"function": {"name": 5}}])
def test_a_tool_in_no_form_is_one_sentence(tool: Any) -> None:
    for tools in ([tool], tool):
        with pytest.raises(InputError, match="A tool is"):
            ToolUse.of(byte_level(STYLES["hermes"]), {"tools": tools})


def test_a_syntax_is_read_once_whatever_number_of_settings_a_template_is_given() -> None:
    tokenizer, settings = byte_level(STYLES["hermes"]), [{"number": number} for number in range(100)]
    first, *_, last = [tool_syntax(tokenizer, template_kwargs=one) for one in settings]
    assert tool_syntax(tokenizer, template_kwargs=settings[-1]) is last
    assert tool_syntax(tokenizer, template_kwargs=settings[0]) is not first  # made anew: not all of them are kept


def test_a_forced_call_has_no_other_format() -> None:
    with pytest.raises(InputError, match="one of the two"):
        use_of(STYLES["hermes"], tool_choice="any", response_format={"type": "json_object"})


def test_a_form_that_only_the_tokenizer_declares_is_read_but_not_forced() -> None:
    tokenizer = copy.deepcopy(byte_level(GEMMA))
    with pytest.raises(InputError, match="not understood"):
        ToolUse.of(tokenizer, {"tools": TOOLS})
    tokenizer = copy.deepcopy(byte_level(GEMMA))
    tokenizer.response_template = GEMMA_RESPONSES
    use = ToolUse.of(tokenizer, {"tools": TOOLS})
    reply = '<think>hm</think>Yes.<|tool_call>call:plan{city:<|"|>Oslo<|"|>,days:2}<tool_call|><|tool_call>call:ping{'
    message = use.message(reply)
    assert (message.content, message.additional_kwargs) == ("Yes.", {"reasoning_content": "hm"})
    assert [call["args"] for call in message.tool_calls] == [{"city": "Oslo", "days": 2}]
    assert len(message.invalid_tool_calls) == 1
    stream = use.stream()
    whole = functools.reduce(operator.add, [*map(stream.feed, reply), stream.finish()])
    assert (whole.content, [call["args"] for call in whole.tool_calls]) == ("Yes.", [{"city": "Oslo", "days": 2}])
    with pytest.raises(InputError, match="cannot be forced"):
        ToolUse.of(tokenizer, {"tools": TOOLS, "tool_choice": "any"})


def test_ids_of_other_models_become_short_ones() -> None:
    assert use_of(STYLES["mistral"]).short_ids
    assert not use_of(STYLES["hermes"]).short_ids
    assert short_id("abcdefghi") == "abcdefghi"
    assert short_id("call_1") == short_id("call_1") != short_id("call_2")
    assert len(short_id("call_1")) == 9
