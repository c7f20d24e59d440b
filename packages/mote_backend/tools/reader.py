"""A model's reply read as text, reasoning and tool calls, whole or while it grows.

Whatever a reply holds, reading it raises nothing: what looks like a call but is none is an invalid call that keeps its
text. `ReplyReader` and `read_reply` share one scan, so that a stream put together is the whole reply.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from mote_backend.tools import harmony
from mote_backend.tools.call_patterns import call_patterns
from mote_backend.tools.call_reader import CallReader
from mote_backend.tools.declared_format import read_declared
from mote_backend.tools.json_text import json_end, json_object
from mote_backend.tools.read_call import ReadCall
from mote_backend.tools.syntax import CallSyntax

_THINKS = re.compile(r"\s*<think>\s?")
_PYTHON_TAG = "<|python_tag|>"
_BARE_LEAD = re.compile(rf"\s*(?:{re.escape(_PYTHON_TAG)})?\s*")
_PYTHON_LIST = re.compile(r"\[\s*([\w.]+)\(")
_BARE_NEXT = re.compile(rf"[\s;,]*(?:{re.escape(_PYTHON_TAG)})?\s*(?=\{{)")


@dataclass(frozen=True)
class Reading:
    """A reply, read. While a reply grows, each of these only grows too."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ReadCall, ...] = ()


@dataclass(frozen=True)
class CallAddition:
    """What a piece of a reply adds to the call at `index`; the name comes with the first."""

    index: int
    name: str | None
    arguments: str
    error: str | None = None


@dataclass(frozen=True)
class Addition:
    """What a piece of a reply adds."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[CallAddition, ...] = ()


@dataclass(frozen=True)
class ReplyFormat:
    """All that is to be known to read a reply."""

    syntax: CallSyntax
    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The JSON schema of each bound tool's arguments, by the tool's name."""
    control: tuple[str, ...] = ()
    """The texts of the tokenizer's control tokens; they are no part of a reply's text."""
    declared: Mapping[str, Any] | None = None
    """The tokenizer's `response_template`, for a syntax that is "declared"."""


def read_reply(reply: str, form: ReplyFormat, *, final: bool = True) -> Reading:
    """The reply, read as far as it has come; `final`: nothing more comes, so nothing is held back."""
    return _Scan(reply, form, final).reading()


class ReplyReader:
    """The same, piece by piece: what each piece adds."""

    def __init__(self, form: ReplyFormat) -> None:
        self._form = form
        self._reply = ""
        self._told = Reading()

    def feed(self, piece: str) -> Addition:
        """Take the next piece of the reply."""
        self._reply += piece
        return self._fresh(final=False) if piece else Addition()

    def finish(self) -> Addition:
        """What was held back, now that nothing more comes."""
        return self._fresh(final=True)

    def _fresh(self, final: bool) -> Addition:
        now = read_reply(self._reply, self._form, final=final)
        before, self._told = self._told, now
        calls = []
        for at, call in enumerate(now.calls):
            old = before.calls[at] if at < len(before.calls) else None
            if old is None:
                calls.append(CallAddition(at, call.name, call.arguments, call.error))
            elif call != old:
                calls.append(CallAddition(at, None, call.arguments[len(old.arguments) :], call.error))
        return Addition(now.text[len(before.text) :], now.reasoning[len(before.reasoning) :], tuple(calls))


class _Scan:
    """One walk over the reply as far as it has come."""

    def __init__(self, reply: str, form: ReplyFormat, final: bool) -> None:
        self._reply = reply
        self._form = form
        self._final = final
        self._reader = CallReader(reply, form.syntax, form.schemas, final)

    def reading(self) -> Reading:
        if self._form.syntax.body == "harmony":
            texts, thoughts, calls = harmony.read_harmony(self._reply, self._final)
            return Reading(self._shown("".join(texts)), self._shown("\n".join(thoughts)), tuple(calls))
        if self._form.declared is not None:
            text, thought, calls = read_declared(
                self._reply,
                self._form.declared,
                self._form.schemas,
                thinking=self._form.syntax.reasoning_open,
                final=self._final,
            )
            return Reading(self._shown(text), self._shown(thought), tuple(calls))
        reasoning, at = self._reasoning()
        if at is None:
            return Reading(reasoning=reasoning)
        text, calls = self._marked(at) if call_patterns(self._form.syntax).start else self._bare(at)
        return Reading(text, reasoning, tuple(calls))

    def _reasoning(self) -> tuple[str, int | None]:
        """The reasoning that the reply begins with, and the place behind it: None while it goes on."""
        syntax = self._form.syntax
        if not syntax.reasons:
            return "", 0
        lead = _THINKS.match(self._reply)
        if lead is None:
            growing = not self._final and "<think>".startswith(self._reply.lstrip())
            if growing or not syntax.reasoning_open:
                return "", None if growing else 0
        start = lead.end() if lead else 0
        end = self._reply.find("</think>", start)
        if end < 0:
            return self._shown(self._reply[start:]).lstrip(), None
        behind = re.compile(r"\s*").match(self._reply, end + len("</think>"))
        assert behind is not None
        return self._clean(self._reply[start:end]).strip(), behind.end()

    def _marked(self, at: int) -> tuple[str, list[ReadCall]]:
        parts: list[str] = []
        calls: list[ReadCall] = []
        pattern = call_patterns(self._form.syntax).start
        assert pattern is not None
        while found := pattern.search(self._reply, at):
            parts.append(self._clean(self._reply[at : found.start()]))
            read = self._reader.marked(found.start())
            calls += read.calls
            if read.end is None:
                return "".join(parts).rstrip(), calls
            at = max(read.end, found.end())
        text = "".join(parts) + self._shown(self._reply[at:])
        return text.rstrip() if calls or not self._final else text, calls

    def _bare(self, at: int) -> tuple[str, list[ReadCall]]:
        """A syntax without markers: a reply that begins with an object that names a bound tool is a call."""
        lead = _BARE_LEAD.match(self._reply, at)
        assert lead is not None
        begin = lead.end()
        rest = self._reply[begin:]
        if not self._final and (_PYTHON_TAG.startswith(rest) or re.fullmatch(r"\[[\s\w.]*", rest)):
            return "", []
        listed = _PYTHON_LIST.match(self._reply, begin) if self._form.syntax.body == "python" else None
        if listed and listed[1] in self._form.schemas:
            read = self._reader.python(begin)
            return ("" if read.end is None else self._shown(self._reply[read.end :].lstrip())), list(read.calls)
        if not self._calls_a_tool(begin):
            end = json_end(self._reply, begin) if self._reply[begin : begin + 1] == "{" else 0
            return ("" if end is None and not self._final else self._shown(self._reply[at:])), []
        calls: list[ReadCall] = []
        behind: int | None = begin
        while behind is not None and (following := _BARE_NEXT.match(self._reply, behind)):
            read = self._reader.object(following.end())
            calls += read.calls
            behind = read.end
        return ("" if behind is None else self._shown(self._reply[behind:].lstrip(" \n;,")).rstrip()), calls

    def _calls_a_tool(self, at: int) -> bool:
        if self._reply[at : at + 1] != "{":
            return False
        if head := call_patterns(self._form.syntax).object_head.match(self._reply, at):
            return head[1] in self._form.schemas
        end = json_end(self._reply, at)
        value = json_object(self._reply[at:end]) if end else None
        return value is not None and value.get(self._form.syntax.name_path[-1]) in self._form.schemas

    def _shown(self, text: str) -> str:
        """`text` without control tokens, and while it grows without an end that may become a marker or be trimmed."""
        if not self._final:
            text = text[: self._held_from(text)]
        return self._clean(text) if self._final else self._clean(text).rstrip()

    def _held_from(self, text: str) -> int:
        """Where the end of `text` begins that may become a marker; never inside a control token that is complete."""
        beginnings = _beginnings(self._form.syntax, self._form.control)
        longest = max(map(len, beginnings), default=0)
        control = _control(self._form.control)
        inside = (
            {at for found in control.finditer(text) for at in range(found.start() + 1, found.end())} if control else ()
        )
        starts = range(max(0, len(text) - longest), len(text))
        return next((at for at in starts if at not in inside and text[at:] in beginnings), len(text))

    def _clean(self, text: str) -> str:
        control = _control(self._form.control)
        return control.sub("", text) if control else text


@lru_cache(maxsize=64)
def _control(control: tuple[str, ...]) -> re.Pattern[str] | None:
    longest_first = sorted(filter(None, control), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


@lru_cache(maxsize=64)
def _beginnings(syntax: CallSyntax, control: tuple[str, ...]) -> frozenset[str]:
    """Every text that a marker or a control token begins with, short of the whole."""
    markers = [*call_patterns(syntax).markers, *control]
    if syntax.body == "harmony":
        markers += harmony.MARKERS
    if syntax.reasons:
        markers.append("</think>")
    return frozenset(marker[:n] for marker in markers for n in range(1, len(marker)))
