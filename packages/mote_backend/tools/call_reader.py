"""One tool call read out of a reply, in each of the ways in which models write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mote_backend.tools.call_patterns import CallPatterns, call_patterns
from mote_backend.tools.json_text import json_end, json_line, json_object
from mote_backend.tools.parameter_values import cast
from mote_backend.tools.python_calls import python_end, read_python
from mote_backend.tools.read_call import ReadCall, refused
from mote_backend.tools.syntax import CallSyntax

_OBJECT_NEXT = re.compile(r"[\s,]*(?=\{)")
_LIST_NEXT = re.compile(r"\s*\[")
_LIST_END = re.compile(r"[\s,]*\]")
_NAME = re.compile(r"[\w.\-]+")
_BROKE_OFF = "it breaks off before its end"


@dataclass(frozen=True)
class Found:
    """What was read at one place."""

    calls: tuple[ReadCall, ...]
    end: int | None
    """The place behind it; None while more of it is to come."""


class CallReader:
    """Reads the call that begins at a place of `reply`. `final`: the reply is whole, so what is missing is missing."""

    def __init__(self, reply: str, syntax: CallSyntax, schemas: Mapping[str, Mapping[str, Any]], final: bool) -> None:
        self._reply = reply
        self._syntax = syntax
        self._schemas = schemas
        self._final = final
        self._patterns: CallPatterns = call_patterns(syntax)

    def marked(self, start: int) -> Found:
        """A call, or a list of calls, whose marker is at `start`."""
        opening = self._patterns.opening.match(self._reply, start)
        if opening is None:
            return self._broken(start, None, "it does not begin as a call of this model does")
        if self._syntax.body not in ("object", "python"):
            return self._named(start, opening.end())
        listed = _LIST_NEXT.match(self._reply, opening.end())
        if self._syntax.body == "python":
            missing = not self._reply[opening.end() :].strip()
            return (
                self.python(listed.end() - 1) if listed else self._broken(start, None, "no list follows", wait=missing)
            )
        return self._listed(start, listed.end()) if listed else self._single(start, opening.end())

    def object(self, at: int) -> Found:
        """The call that is the JSON object at `at`."""
        end = json_end(self._reply, at)
        if head := self._patterns.object_head.match(self._reply, at):
            return Found(
                (self._with_arguments(head[1], head.end()),), end if end or not self._final else len(self._reply)
            )
        if end is None:
            return self._broken(at, None, _BROKE_OFF)
        name, arguments = _named_in(json_object(self._reply[at:end]), self._syntax)
        if name is None or arguments is None:
            return Found((refused(name, self._reply[at:end], "it has no name and no object of arguments"),), end)
        return Found((ReadCall(name, json_line(arguments)),), end)

    def python(self, at: int) -> Found:
        """The calls in the Python list at `at`."""
        end = python_end(self._reply, at)
        if end is None and not self._final:
            return Found((), None)
        return Found(tuple(read_python(self._reply[at:end])), self._after(len(self._reply) if end is None else end))

    def _single(self, start: int, at: int) -> Found:
        begin = _OBJECT_NEXT.match(self._reply, at)
        if begin is None:
            return self._broken(start, None, "no JSON object follows", wait=not self._reply[at:].strip())
        found = self.object(begin.end())
        return found if found.end is None else Found(found.calls, self._after(found.end))

    def _listed(self, start: int, at: int) -> Found:
        calls: list[ReadCall] = []
        while (begin := _OBJECT_NEXT.match(self._reply, at)) is not None:
            found = self.object(begin.end())
            calls += found.calls
            if found.end is None:
                return Found(tuple(calls), None)
            at = found.end
        if done := _LIST_END.match(self._reply, at):
            return Found(tuple(calls), self._after(done.end()))
        if calls or not self._final:
            return Found(tuple(calls), len(self._reply) if self._final else None)
        return self._broken(start, None, "no JSON object follows")

    def _named(self, start: int, at: int) -> Found:
        middle = self._patterns.middle.search(self._reply, at)
        closing = self._patterns.closing.search(self._reply, at) if self._patterns.closing else None
        edges = [found for found in (middle, closing) if found]
        if not edges:
            return self._broken(start, None, "its name has no end")
        edge = min(edges, key=lambda found: found.start())
        name = self._reply[at : edge.start()].strip()
        if not _NAME.fullmatch(name):
            return self._broken(start, None, "it has no name")
        if edge is not middle:
            return Found((ReadCall(name, "{}"),), self._after(edge.start()))
        if self._syntax.body == "parameters":
            return self._parameters(start, name, edge.end())
        begin = _OBJECT_NEXT.match(self._reply, edge.end())
        if begin is None:
            missing = not self._reply[edge.end() :].strip()
            return self._broken(start, name, "no JSON object of arguments follows", wait=missing)
        end = json_end(self._reply, begin.end())
        behind = None if end is None and not self._final else self._after(len(self._reply) if end is None else end)
        return Found((self._with_arguments(name, begin.end()),), behind)

    def _parameters(self, start: int, name: str, at: int) -> Found:
        given: dict[str, Any] = {}
        schema = self._schemas.get(name, {})
        properties = schema.get("properties")
        while found := self._patterns.parameter.match(self._reply, at):
            key = found["key"].strip()
            given[key] = cast(
                _unwrapped(found["value"], self._syntax),
                properties.get(key) if isinstance(properties, Mapping) else None,
                schema,
            )
            at = found.end()
        rest = self._reply[at:].lstrip()
        closed = self._patterns.closing is None or self._patterns.closing.match(rest)
        if not closed and (rest or not self._final):
            return self._broken(start, name, _BROKE_OFF)
        return Found((ReadCall(name, json_line(given)),), self._after(at))

    def _with_arguments(self, name: str, at: int) -> ReadCall:
        """The call whose arguments' object begins at `at`, as far as it has come."""
        end = json_end(self._reply, at)
        raw = self._reply[at:end]
        if end is None:
            return refused(name, raw, _BROKE_OFF) if self._final else ReadCall(name, raw)
        return ReadCall(name, raw) if json_object(raw) is not None else refused(name, raw, "its arguments are no JSON")

    def _broken(self, start: int, name: str | None, why: str, wait: bool = True) -> Found:
        """What began as a call and is none: all up to its closing marker, which may still come."""
        closing = self._patterns.closing.search(self._reply, start) if self._patterns.closing else None
        if closing is None and not self._final and (wait or self._patterns.closing):
            return Found((), None)
        end = closing.end() if closing else len(self._reply)
        return Found(
            (refused(name, self._reply[start:end], why),), self._after(end) if self._final or closing else None
        )

    def _after(self, at: int) -> int:
        found = self._patterns.rest.match(self._reply, at)
        return found.end() if found else at


def _named_in(value: Any, syntax: CallSyntax) -> tuple[str | None, dict[str, Any] | None]:
    """Name and arguments of a call that is an object, wherever models put them."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict):
        return None, None
    name = value.get(syntax.name_path[-1], value.get("name"))
    arguments: Any = None
    for key in (syntax.arguments_path[-1], "arguments", "parameters"):
        if key in value:
            arguments = value[key]
            break
    else:
        arguments = {}
    if isinstance(arguments, str):
        arguments = json_object(arguments)
    return (
        name if isinstance(name, str) and name else None,
        arguments if isinstance(arguments, dict) else None,
    )


def _unwrapped(value: str, syntax: CallSyntax) -> str:
    """A parameter's value without the line breaks that belong to its markers."""
    _, before, after = syntax.parameter
    if before.endswith("\n"):
        value = value.removeprefix("\n")
    return value.removesuffix("\n") if after.startswith("\n") else value
