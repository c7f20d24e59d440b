"""The regular expressions of one syntax of tool calls: its markers, with white space between them left free."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from mote_backend.tools.syntax import CALL_ID, CallSyntax


@dataclass(frozen=True)
class CallPatterns:
    """What a reader of calls looks for."""

    start: re.Pattern[str] | None
    """Where a call begins; None for a syntax without markers."""
    opening: re.Pattern[str]
    """All that stands before the call's name or object."""
    middle: re.Pattern[str]
    """What ends the name and begins the arguments."""
    object_head: re.Pattern[str]
    """An object up to its arguments, if its keys come in the usual order; group 1 is the name."""
    parameter: re.Pattern[str]
    """One parameter with its groups key and value, white space before it included."""
    closing: re.Pattern[str] | None
    """What ends a call; None where nothing does."""
    rest: re.Pattern[str]
    """What may stand between the end of one call and the next call or the text after it."""
    markers: tuple[str, ...]
    """Literal texts that may stand around a call."""


@lru_cache(maxsize=64)
def call_patterns(syntax: CallSyntax) -> CallPatterns:
    """The patterns of `syntax`."""
    again = syntax.opening if syntax.body == "object" else syntax.opening + syntax.head
    # A list of objects may stand where one is expected, so that its bracket is no part of the marker.
    begin = syntax.begin.rstrip("[ \n") if syntax.body in ("object", "python") else syntax.begin
    end = syntax.end.lstrip("] \n") if syntax.body in ("object", "python") else syntax.end
    triggers = syntax.triggers
    close = _free(syntax.closing)
    before_key, between, after_value = map(_free, syntax.parameter)
    name_key, arguments_key = syntax.name_path[-1], syntax.arguments_path[-1]
    return CallPatterns(
        start=re.compile("|".join(map(re.escape, sorted(triggers, key=len, reverse=True)))) if triggers else None,
        opening=re.compile(rf"\s*(?:{_free(begin)}\s*)?{_free(again)}" if begin else rf"\s*{_free(again)}"),
        middle=re.compile(_free(syntax.middle) or (rf"(?=\s*{before_key})" if before_key else r"(?=\s*\{)")),
        object_head=re.compile(
            rf'\s*\{{\s*(?:"type"\s*:\s*"function"\s*,\s*"function"\s*:\s*\{{\s*)?"{re.escape(name_key)}"\s*:\s*'
            rf'"([^"\\]*)"\s*,\s*"(?:{re.escape(arguments_key)}|arguments|parameters)"\s*:\s*(?=\{{)'
        ),
        parameter=re.compile(rf"\s*{before_key}(?P<key>.*?){between}(?P<value>.*?){after_value}", re.DOTALL),
        closing=re.compile(close) if close else None,
        rest=re.compile(rf"\s*(?:{close})?\s*(?:{_free(end)})?"),
        markers=tuple(dict.fromkeys([*triggers, *syntax.closing.split(), *end.split()])),
    )


def _free(literal: str) -> str:
    """`literal` as a pattern: the white space in it may be any or none, and any call id may stand for the id."""
    words = re.split(r"\s+", literal.strip())
    pattern = r"\s*".join(re.escape(word) for word in words if word)
    return pattern.replace(re.escape(CALL_ID), r"[\w\-]*")
