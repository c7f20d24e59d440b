"""Decoding held to a schema: whatever a model would rather say, what comes out fits."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mote_backend.errors import SchemaError
from mote_backend.grammar.grammar import Constraint, compile_grammar, literal
from mote_backend.grammar.json_schema import decodable
from support.chat_templates import byte_level, of_words, with_fallback

JOKE = {
    "type": "object",
    "properties": {
        "setup": {"type": "string", "maxLength": 12},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "kind": {"enum": ["pun", 'é"quoted"', "你好"]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        "next": {"anyOf": [{"$ref": "#/$defs/nothing"}, {"type": "null"}]},
    },
    "required": ["setup", "stars", "kind"],
    "$defs": {"nothing": {"type": "object", "properties": {}}},
}


def said(tokenizer: Any, constraint: Constraint, seed: int = 0, longest: int = 400, vocabulary: int = 0) -> str:
    """What a model with an opinion of its own, and no sense, says under the constraint."""
    torch.manual_seed(seed)
    end = tokenizer.eos_token_id
    state = compile_grammar(constraint, tokenizer, [end]).start()
    ids: list[int] = []
    while not state.finished and len(ids) < longest:
        logits = torch.randn(max(vocabulary, len(tokenizer))) * 3
        state.mask(logits)
        chosen = int(logits.argmax())
        state.advance(chosen)
        ids.append(chosen)
    assert state.finished
    return str(tokenizer.decode([one for one in ids if one != end]))


@pytest.mark.parametrize("tokenizer", [byte_level, with_fallback])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_what_is_said_fits_the_schema(tokenizer: Any, seed: int) -> None:
    value = json.loads(said(tokenizer(), Constraint.json_schema(JOKE), seed))
    jsonschema.validate(value, {**JOKE, "additionalProperties": False})


@pytest.mark.parametrize("tokenizer", [byte_level, with_fallback, of_words])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_one_of_the_choices_is_said(tokenizer: Any, seed: int) -> None:
    options = ["yes", "no", "maybe cat"]
    assert said(tokenizer(), Constraint.choice(options), seed) in options


def test_a_pattern_is_matched_from_end_to_end() -> None:
    for seed in range(10):
        assert re.fullmatch(r"[a-c]{2}/\d+|no", said(byte_level(), Constraint.regex(r"[a-c]{2}/\d{1,3}|no"), seed))


def test_any_json_object_may_be_asked_for() -> None:
    assert isinstance(json.loads(said(byte_level(), Constraint.lark('start: %json {"type": "object"}'), 3, 4000)), dict)


def test_logits_wider_than_the_vocabulary_are_masked_to_their_end() -> None:
    tokenizer = byte_level()
    logits = torch.zeros(1, len(tokenizer) + 64)
    compile_grammar(Constraint.choice(["no"]), tokenizer, [tokenizer.eos_token_id]).start().mask(logits)
    assert torch.isinf(logits[0, len(tokenizer) :]).all()
    assert torch.isfinite(logits).sum() == 1


def test_only_the_end_may_follow_a_finished_reply() -> None:
    tokenizer = byte_level()
    state = compile_grammar(Constraint.choice(["a"]), tokenizer, [tokenizer.eos_token_id]).start()
    state.advance(tokenizer.convert_tokens_to_ids("a"))
    assert state.finished
    logits = torch.zeros(len(tokenizer))
    state.mask(logits)
    assert logits.isfinite().nonzero().tolist() == [[tokenizer.eos_token_id]]


def test_rows_of_one_grammar_do_not_share_their_state() -> None:
    tokenizer = byte_level()
    grammar = compile_grammar(Constraint.choice(["ab", "cd"]), tokenizer, [tokenizer.eos_token_id])
    first, second = grammar.start(), grammar.start()
    first.advance(tokenizer.convert_tokens_to_ids("a"))
    logits = torch.zeros(len(tokenizer))
    second.mask(logits)
    assert set(tokenizer.convert_ids_to_tokens(logits.isfinite().nonzero()[:, 0].tolist())) == {"a", "c"}


def test_a_grammar_is_compiled_once_per_tokenizer() -> None:
    tokenizer, ends = byte_level(), [byte_level().eos_token_id]
    first = compile_grammar(Constraint.json_schema(JOKE), tokenizer, ends)
    assert compile_grammar(Constraint.json_schema(dict(JOKE)), tokenizer, ends) is first
    assert compile_grammar(Constraint.json_schema(JOKE), with_fallback(), [with_fallback().eos_token_id]) is not first


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        (Constraint.json_schema({"type": "integer", "minimum": 5, "maximum": 3}), "minimum"),
        (Constraint.json_schema({"type": "strin"}), "strin"),
        (Constraint.json_schema({"type": "string", "not": {"const": "a"}}), "not"),
        (Constraint.json_schema({"$ref": "#/$defs/none"}), "does not exist"),
        (Constraint.regex("(a"), "unclosed"),
        (Constraint.regex("(?=a)b"), "pattern"),
        (Constraint.lark("begin: 'a'"), "grammar"),
        (Constraint.lark('start: a\na: %json {"type": 5}'), "(type must be a string or array of strings)"),
        (Constraint.regex("\ud800"), "half a character"),
        (Constraint.choice(["a", "\udc00"]), "half a character"),
    ],
)
def test_what_cannot_be_decoded_to_is_one_sentence(constraint: Constraint, reason: str) -> None:
    with pytest.raises(SchemaError, match=re.escape(reason)) as caught:
        compile_grammar(constraint, byte_level(), [byte_level().eos_token_id])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": [1]},
        {"type": "object", "properties": {"a": {"properties": "abc"}}},
        {"type": "object", "properties": {"a": {}}, "required": "a"},
        functools.reduce(lambda inner, _: {"type": "object", "properties": {"a": inner}}, range(900), {}),
    ],
    ids=["a list", "a text", "required", "deep"],
)
def test_what_is_no_schema_is_one_sentence(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="JSON schema"):
        Constraint.json_schema(schema)


def test_a_format_that_is_none_is_left_out() -> None:
    assert decodable({"type": "string", "format": ["date"]}) == {"type": "string"}


def test_any_of_many_choices_can_be_said() -> None:
    choices = [f"number {number}" for number in range(9_999)]
    assert said(byte_level(), Constraint.choice(choices)) in choices


def test_a_schema_that_is_too_much_for_the_parser_is_not_blamed_on_the_tokenizer() -> None:
    parts = [{"type": "object", "properties": {f"k{number}": {"type": "string"}}} for number in range(3_000)]
    with pytest.raises(SchemaError, match="held to this JSON schema"):
        said(byte_level(), Constraint.json_schema({"anyOf": parts}))


def test_there_can_be_many_choices_but_not_any_number() -> None:
    with pytest.raises(SchemaError, match="10,001 choices"):
        Constraint.choice([str(number) for number in range(10_001)])


def test_a_vocabulary_that_cannot_spell_the_schema_is_one_sentence() -> None:
    with pytest.raises(SchemaError, match="tokenizer cannot spell"):
        said(of_words(), Constraint.json_schema({"enum": ["yes"]}))


def test_a_token_that_was_masked_is_refused() -> None:
    tokenizer = byte_level()
    state = compile_grammar(Constraint.choice(["a"]), tokenizer, [tokenizer.eos_token_id]).start()
    with pytest.raises(SchemaError, match="sample only what mask"):
        state.advance(tokenizer.convert_tokens_to_ids("b"))


@pytest.mark.parametrize("bad", [[], [""], ["a", 1]])
def test_choices_are_texts(bad: Sequence[Any]) -> None:
    with pytest.raises(SchemaError, match="at least one text"):
        Constraint.choice(bad)


def test_a_literal_names_added_tokens_by_their_id() -> None:
    tokenizer = byte_level()
    number = tokenizer.convert_tokens_to_ids("<tool_call>")
    assert literal('<tool_call>\n"', tokenizer) == f'<[{number}]> "\\n\\""'
    assert said(tokenizer, Constraint.lark("start: " + literal("<tool_call>a", tokenizer))) == "<tool_call>a"


def test_objects_are_closed_unless_they_say_otherwise_or_are_joined() -> None:
    inner = {"type": "object", "properties": {"a": {"type": "string", "format": "secret"}}}
    ready = decodable({"type": "array", "items": inner})
    assert ready["items"] == {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "additionalProperties": False,
    }
    assert decodable({**inner, "additionalProperties": True})["additionalProperties"] is True
    assert "additionalProperties" not in decodable({"allOf": [inner, inner]})["allOf"][0]
    assert "format" in decodable({"type": "object", "properties": {"format": {"type": "string"}}})["properties"]
