"""What tools, a tool choice and a response format mean for one call: the prompt, the constraint, the reading."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from mote_backend.errors import InputError, shown
from mote_backend.grammar.grammar import Constraint
from mote_backend.tools.grammar import call_grammar
from mote_backend.tools.json_text import json_object
from mote_backend.tools.reader import Addition, ReplyFormat, ReplyReader, read_reply
from mote_backend.tools.template import tool_syntax

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OPTIONS = frozenset({"tools", "tool_choice", "parallel_tool_calls", "strict", "response_format", "constraint"})
"""The options of a call that `ToolUse.of` reads."""


@dataclass(frozen=True)
class ToolUse:
    """How one call uses tools and formats; the default uses none."""

    tools: tuple[Mapping[str, Any], ...] = ()
    """For the chat template, in OpenAI's form; those that a tool choice rules out are not shown."""
    constraint: Constraint | None = None
    form: ReplyFormat | None = None
    """How the reply is read; None: all of it is text."""

    @classmethod
    def of(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        options: Mapping[str, Any],
        *,
        end_ids: Collection[int] = (),
        chat_template: str | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> ToolUse:
        """From a call's options in OpenAI's form (`OPTIONS`).

        Raises InputError for a template without tools, two tools of one name, a tool choice that names no tool, a
        format that does not exist, or a constraint beside a forced call; SchemaError for a schema that is none.
        """
        given = options.get("constraint")
        if given is not None and not isinstance(given, Constraint):
            raise InputError(f"constraint is {type(given).__name__}; give a mote_backend Constraint.")
        wanted = given or _constraint(options.get("response_format"))
        tools = _described(options.get("tools"))
        choice = chosen(options.get("tool_choice"), tools)
        if not tools or choice == "none":
            return cls(constraint=wanted)
        names = [tool["function"]["name"] for tool in tools]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"Two tools are named {twice[0]!r}: give each tool a name of its own.")
        syntax = tool_syntax(tokenizer, chat_template=chat_template, template_kwargs=template_kwargs)
        if wanted is not None and choice != "auto":
            raise InputError("A reply cannot be a forced tool call and of another format: give one of the two.")
        if wanted is None and (choice != "auto" or _strict(options, tools)):
            callable_now = [tool for tool in tools if choice in ("auto", "any", tool["function"]["name"])]
            several = choice in ("auto", "any") and options.get("parallel_tool_calls") is not False
            wanted = call_grammar(syntax, callable_now, tokenizer, end_ids, forced=choice != "auto", several=several)
        schemas = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools}
        control = tuple(str(one) for one in tokenizer.added_tokens_decoder.values() if one.special)
        declared = tokenizer.response_template if syntax.body == "declared" else None
        return cls(tools, wanted, ReplyFormat(syntax, schemas, control, declared))

    @property
    def arguments_as_text(self) -> bool:
        """Whether the template wants the arguments of past calls as JSON text."""
        return self.form is not None and self.form.syntax.arguments_as_text

    @property
    def short_ids(self) -> bool:
        """Whether the template insists on ids of nine letters or digits; see `short_id`."""
        return self.form is not None and self.form.syntax.short_ids

    def message(self, reply: str) -> AIMessage:
        """The reply as a message: text, calls, calls that are none, and reasoning."""
        if self.form is None:
            return AIMessage(content=reply)
        reading = read_reply(reply, self.form)
        calls = [(call, new_id()) for call in reading.calls]
        return AIMessage(
            content=reading.text,
            tool_calls=[
                tool_call(name=call.name or "", args=json_object(call.arguments) or {}, id=number)
                for call, number in calls
                if call.error is None
            ],
            invalid_tool_calls=[
                invalid_tool_call(name=call.name, args=call.arguments, id=number, error=call.error)
                for call, number in calls
                if call.error is not None
            ],
            additional_kwargs={"reasoning_content": reading.reasoning} if reading.reasoning else {},
        )

    def stream(self) -> MessageStream:
        """The same for a reply that comes in pieces."""
        return MessageStream(self.form)


class MessageStream:
    """Chunks of a message out of the pieces of a reply; put together they are the message."""

    def __init__(self, form: ReplyFormat | None) -> None:
        self._reader = ReplyReader(form) if form else None
        self._ids: dict[int, str] = {}
        self._invalid: set[int] = set()

    def feed(self, piece: str) -> AIMessageChunk:
        """What this piece adds; its content may be empty."""
        return self._chunk(self._reader.feed(piece)) if self._reader else AIMessageChunk(content=piece)

    def finish(self) -> AIMessageChunk:
        """What was held back until the end."""
        return self._chunk(self._reader.finish()) if self._reader else AIMessageChunk(content="")

    @property
    def calls(self) -> int:
        """How many calls have come that are none of the invalid ones."""
        return len(self._ids) - len(self._invalid)

    def _chunk(self, added: Addition) -> AIMessageChunk:
        chunks = []
        for call in added.calls:
            fresh = call.index not in self._ids
            number = self._ids.setdefault(call.index, new_id())
            arguments = call.arguments
            if call.error is not None:
                self._invalid.add(call.index)
            if fresh and call.error is not None and json_object(arguments) is not None:
                arguments = json.dumps(arguments)  # as text: LangChain would take an object for a valid call
            chunks.append(
                tool_call_chunk(name=call.name, args=arguments, id=number if fresh else None, index=call.index)
            )
        return AIMessageChunk(
            content=added.text,
            tool_call_chunks=chunks,
            additional_kwargs={"reasoning_content": added.reasoning} if added.reasoning else {},
        )


def _described(tools: Any) -> tuple[Mapping[str, Any], ...]:
    """The tools; InputError for one that is not in OpenAI's form."""
    several = tuple(tools) if isinstance(tools, Sequence) and not isinstance(tools, str) else (tools,) if tools else ()
    for tool in several:
        function = tool.get("function") if isinstance(tool, Mapping) else None
        name, parameters = (
            (function.get("name"), function.get("parameters") or {}) if isinstance(function, Mapping) else (None, None)
        )
        if not isinstance(name, str) or not name or not isinstance(parameters, Mapping):
            raise InputError(
                f"A tool is {shown(tool)}; it is {{'type': 'function', 'function': {{'name': …, 'parameters': …}}}}, "
                "as bind_tools makes it."
            )
    return several


def chosen(choice: Any, tools: Sequence[Mapping[str, Any]]) -> str:
    """A tool choice as "auto", "any", "none" or the name of a tool. InputError for one that is none of these."""
    if isinstance(choice, Mapping):
        function = choice.get("function")
        choice = (function if isinstance(function, Mapping) else choice).get("name", choice)
    if choice is None or choice == "auto":
        return "auto"
    names = [tool["function"]["name"] for tool in tools]
    if choice is False or choice == "none":
        return "none"
    if choice is True or choice in ("any", "required"):
        if not names:
            raise InputError("tool_choice asks for a call, but there are no tools: bind tools, or leave it out.")
        return "any"
    if choice not in names:
        listed = ", ".join(names) or "none"
        raise InputError(f"tool_choice is {choice!r}; give 'auto', 'any', 'none' or the name of a tool ({listed}).")
    return str(choice)


def new_id() -> str:
    """The id of a new call."""
    return "call_" + uuid.uuid4().hex[:24]


def short_id(call_id: str) -> str:
    """`call_id` as nine letters or digits, the same for the same id (what Mistral's templates insist on)."""
    if len(call_id) == 9 and call_id.isalnum() and call_id.isascii():
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]


def _strict(options: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]) -> bool:
    return bool(options.get("strict")) or any(tool["function"].get("strict") for tool in tools)


def _constraint(response_format: Any) -> Constraint | None:
    """OpenAI's `response_format`, and vLLM's "regex" and "choice" beside it."""
    if response_format is None:
        return None
    if isinstance(response_format, Mapping):
        kind = response_format.get("type")
        if kind == "text":
            return None
        if kind == "json_object":
            return Constraint.json_object()
        if kind == "json_schema":
            inner = response_format.get("json_schema")
            schema = inner.get("schema") if isinstance(inner, Mapping) else None
            if isinstance(schema, Mapping):
                return Constraint.json_schema(schema)
        if kind == "regex" and isinstance(response_format.get("pattern"), str):
            return Constraint.regex(response_format["pattern"])
        if kind == "choice" and isinstance(response_format.get("choice"), list):
            return Constraint.choice(response_format["choice"])
    raise InputError(
        "response_format is not understood: give {'type': 'json_schema', 'json_schema': {'name': …, 'schema': …}}, "
        "{'type': 'json_object'}, {'type': 'regex', 'pattern': …}, {'type': 'choice', 'choice': […]}, {'type': 'text'}."
    )
