"""Tool calls as a grammar: what a reply may be where a call is forced, or must fit its tool's schema."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mote_backend.errors import InputError
from mote_backend.grammar.grammar import SPACING, Constraint, literal
from mote_backend.grammar.json_schema import decodable
from mote_backend.tools.syntax import CALL_ID, HARMONY, CallSyntax

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Tool = Mapping[str, Any]
"""A tool in OpenAI's form: {"type": "function", "function": {"name", "description", "parameters"}}."""


def call_grammar(
    syntax: CallSyntax,
    tools: Sequence[Tool],
    tokenizer: PreTrainedTokenizerBase,
    end_ids: Collection[int],
    *,
    forced: bool,
    several: bool,
) -> Constraint | None:
    """A reply that calls one of `tools`, or more than one call if `several` and the template can render them.

    If not `forced`, text before the calls or instead of them is free. None where such a reply cannot be told from a
    call (a syntax without markers). Raises SchemaError for a tool whose schema is none.
    """
    return _Grammar(syntax, tokenizer, end_ids).calls(tools, forced, several and syntax.several)


class _Grammar:
    def __init__(self, syntax: CallSyntax, tokenizer: PreTrainedTokenizerBase, end_ids: Collection[int]) -> None:
        self._syntax = syntax
        self._tokenizer = tokenizer
        self._ends = [str(token) for number, token in tokenizer.added_tokens_decoder.items() if number in end_ids]

    def calls(self, tools: Sequence[Tool], forced: bool, several: bool) -> Constraint | None:
        syntax = self._syntax
        if syntax.body == "declared" and forced:
            raise InputError(
                "This model's chat template writes tool calls in a form that cannot be forced: use "
                "tool_choice='auto', or with_structured_output(method='json_schema')."
            )
        if not forced and (not syntax.trigger or syntax.body in ("harmony", "declared")):
            return None
        before = syntax.begin + syntax.opening + syntax.head
        again = syntax.separator + syntax.opening + syntax.head
        trigger = "" if forced else before[: before.find(syntax.trigger) + len(syntax.trigger)]
        rules: list[str] = []
        lead = self._lead(trigger, rules)
        more = f"({self._literal(again)} call)*" if several else ""
        end = self._literal(self._until_end(syntax.end))
        names = [f"call_{at}" for at in range(len(tools))]
        return Constraint.lark(
            "\n".join(
                [
                    _TEXT,
                    f"start: {lead}{self._literal(before[len(trigger) :])} group{'' if forced else ' | TEXT'}",
                    f"group: call {more} {end}{'' if forced else ' TEXT'}",
                    f"call: {' | '.join(names)}",
                    *rules,
                    *(
                        rule
                        for name, tool in zip(names, tools, strict=True)
                        for rule in self._call(name, tool["function"])
                    ),
                ]
            )
        )

    def _lead(self, trigger: str, rules: list[str]) -> str:
        """What may stand before the first call."""
        syntax = self._syntax
        if trigger:
            rules.append(self._up_to("lead", trigger.lstrip()))
            return "lead "
        if syntax is HARMONY or syntax.body == "harmony":
            rules.append(self._up_to("thought", "<|end|>"))
            rules.append(f"analysis: {self._literal('<|channel|>analysis<|message|>')} thought")
            rules.append(f"again: {self._literal('<|start|>assistant')}")
            return "(analysis again)? "
        if syntax.reasoning_open:
            rules.append(self._up_to("thought", "</think>"))
            return "thought /[ \\n]*/ "
        return ""

    def _call(self, rule: str, function: Mapping[str, Any]) -> list[str]:
        syntax = self._syntax
        schema = decodable(function.get("parameters") or {"type": "object", "properties": {}})
        head = self._literal(function["name"] + syntax.middle)
        tail = self._literal(self._until_end(syntax.tail + syntax.closing))
        if syntax.body == "python":
            return self._python(rule, head, schema)
        if syntax.body != "parameters":
            return [f"{rule}: {head} {rule}_arguments {tail}", f"{rule}_arguments: {_json(schema, schema)}"]
        parts = []
        rules = []
        for at, (key, part) in enumerate((schema.get("properties") or {}).items()):
            name = f"{rule}_{at}"
            rules += self._parameter(name, key, part, schema)
            parts.append(name if key in schema.get("required", ()) else f"{name}?")
        return [f"{rule}: {head} {' '.join(parts)} {tail}", *rules]

    def _python(self, rule: str, head: str, schema: Mapping[str, Any]) -> list[str]:
        """The arguments that the schema requires, then any of the others in their order, each value as JSON."""
        properties = schema.get("properties") or {}
        needed = [key for key in properties if key in schema.get("required", ())]
        others = [key for key in properties if key not in needed]
        values = {key: f"{rule}_{at}" for at, key in enumerate([*needed, *others])}
        given = [f"{self._literal((', ' if at else '') + key + '=')} {values[key]}" for at, key in enumerate(needed)]
        if needed:
            given += [f"({self._literal(f', {key}=')} {values[key]})?" for key in others]
        elif others:
            given.append("(" + " | ".join(f"{self._literal(key + '=')} {values[key]}" for key in others) + ")?")
        rules = [f"{value}: {_json(properties[key], schema)}" for key, value in values.items()]
        return [f"{rule}: {head} {' '.join(given)} {self._literal(self._until_end(self._syntax.tail))}", *rules]

    def _parameter(self, rule: str, key: str, part: Any, schema: Mapping[str, Any]) -> list[str]:
        before, between, after = self._syntax.parameter
        head = self._literal(before + key + between)
        kind = part.get("type") if isinstance(part, Mapping) else None
        if isinstance(part, Mapping) and kind == "string":
            if options := part.get("enum") or ([part["const"]] if "const" in part else None):
                spelled = " | ".join(self._literal(str(option)) for option in options)
                return [f"{rule}: {head} ({spelled}) {self._literal(after)}"]
            return [f"{rule}: {head} {rule}_value", self._up_to(f"{rule}_value", after)]
        return [f"{rule}: {head} {rule}_value {self._literal(after)}", f"{rule}_value: {_json(part, schema)}"]

    def _up_to(self, rule: str, marker: str) -> str:
        """Any text and then the marker, where it first comes."""
        spelled = self._literal(marker)
        if spelled.startswith("<["):  # a token of its own, which text cannot hold
            return f"{rule}: TEXT {spelled}"
        first, _, rest = spelled.partition(" <[")
        lazy = f"{rule}_text[lazy]: /(.|\\n)*/ {first}"
        return f"{rule}: {rule}_text{' <[' + rest if rest else ''}\n{lazy}"

    def _until_end(self, text: str) -> str:
        """`text` up to the token that ends the reply, which comes by itself."""
        places = [at for end in self._ends if (at := text.find(end)) >= 0]
        return text[: min(places)] if places else text

    def _literal(self, text: str) -> str:
        if CALL_ID in text:
            before, _, after = text.partition(CALL_ID)
            return f"{self._literal(before)} /[a-zA-Z0-9]{{9}}/ {self._literal(after)}"
        return literal(text, self._tokenizer)


_TEXT = "TEXT: /(.|\\n)*/"


def _json(part: Any, root: Mapping[str, Any]) -> str:
    schema = dict(part) if isinstance(part, Mapping) else {}
    for key in ("$defs", "definitions"):  # a reference starts at the root of its own grammar
        if key in root:
            schema.setdefault(key, root[key])
    return "%json " + json.dumps({**schema, "x-guidance": SPACING}, ensure_ascii=False)
