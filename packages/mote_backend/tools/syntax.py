"""The text that a model's tool calls are written in, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CALL_ID = "@call-id@"
"""Stands in a syntax's text where the template writes the call's id."""

Body = Literal["object", "named", "parameters", "python", "harmony", "declared"]


@dataclass(frozen=True)
class CallSyntax:
    """The text of tool calls: `begin`, then calls joined by `separator`, then `end`. One call is

        opening  head NAME middle ARGUMENTS tail  closing

    where head to tail is one JSON object (body "object"), or the arguments alone are JSON ("named"), or each argument
    has markers of its own ("parameters"), or all calls are a list in Python ("python"). "harmony" is gpt-oss's form;
    what is "declared" is read by the tokenizer's own `response_template`, and cannot be forced.
    """

    body: Body = "object"
    begin: str = ""
    opening: str = ""
    head: str = '{"name": "'
    middle: str = '", "arguments": '
    tail: str = "}"
    closing: str = ""
    separator: str = ""
    end: str = ""
    several: bool = False
    """The template can render more than one call in a message."""
    name_path: tuple[str, ...] = ("name",)
    arguments_path: tuple[str, ...] = ("arguments",)
    """Where an object holds the name and the arguments."""
    parameter: tuple[str, str, str] = ("", "", "")
    """What stands before a parameter's key, between key and value, and after the value."""
    arguments_as_text: bool = False
    """The template wants the arguments of a past call as JSON text instead of an object."""
    short_ids: bool = False
    """The template insists on call ids of nine letters or digits (Mistral)."""
    reasons: bool = False
    """Replies may begin with reasoning that `</think>` ends."""
    reasoning_open: bool = False
    """The prompt ends inside that reasoning."""

    @property
    def trigger(self) -> str:
        """The text that a call begins with; "" where a call is recognised only as the whole reply."""
        start = self.begin + self.opening + ("" if self.body == "object" else self.head)
        return _first_word(start.strip().rstrip("[ ") if self.body in ("object", "python") else start)

    @property
    def triggers(self) -> tuple[str, ...]:
        """All texts that a call may begin with: the first of a message, and those after it."""
        again = self.opening if self.body == "object" else self.opening + self.head
        return tuple(dict.fromkeys(word for word in (self.trigger, _first_word(again.strip())) if word))


HARMONY = CallSyntax(
    body="harmony",
    head="<|channel|>commentary to=functions.",
    middle=" <|constrain|>json<|message|>",
    tail="",
    closing="<|call|>",
)
"""gpt-oss (OpenAI's harmony format): one call ends the reply."""


def _first_word(text: str) -> str:
    words = text.split()
    return words[0] if words else ""
