"""The syntax of tool calls out of the text of calls whose names and values are known."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from mote_backend.tools.json_text import json_end
from mote_backend.tools.syntax import CALL_ID, CallSyntax

NAMES = ("probe_alpha", "probe_bravo")
KEYS = ("first_key", "second_key")
VALUES = ("first_value", "second_value")
"""What the made-up calls say: their names, and the keys and values of their arguments."""


def read_calls(core: str | None, twice: str | None, call_id: str, second_id: str) -> CallSyntax | None:
    """The syntax out of the text of one call, and out of that of two where the template renders two."""
    if core is None or NAMES[0] not in core:
        return None
    core = core.replace(call_id, CALL_ID)
    twice = twice and twice.replace(call_id, CALL_ID).replace(second_id, CALL_ID)
    if python := _read_python(core):
        return python
    syntax = _read_object(core) or (core.index(NAMES[0]) > 0 and (_read_named(core) or _read_parameters(core))) or None
    if syntax is None or twice is None or NAMES[1] not in twice:
        return syntax
    first, second = _unit(syntax, core, 0), _unit(syntax, twice, 0)
    if first is None or second is None:
        return syntax
    return _with_joint(syntax, twice, second)


def _read_object(core: str) -> CallSyntax | None:
    at = core.find(NAMES[0])
    for start in (place for place in range(at, -1, -1) if core[place] == "{"):
        end = json_end(core, start)
        if end is None:
            continue
        try:
            whole = json.loads(core[start:end])
        except ValueError:
            continue
        name_path, arguments_path = _path(whole, _is_name), _path(whole, _is_arguments)
        if name_path is None or arguments_path is None:
            continue
        arguments = core.find("{", core.find(arguments_path[-1], start))
        after = json_end(core, arguments) if arguments >= at else None
        if after is None or after > end:
            return None  # the arguments come before the name: nothing that could be streamed or forced
        return CallSyntax(
            opening=core[:start],
            head=core[start:at],
            middle=core[at + len(NAMES[0]) : arguments],
            tail=core[after:end],
            closing=core[end:],
            name_path=name_path,
            arguments_path=arguments_path,
        )
    return None


def _read_named(core: str) -> CallSyntax | None:
    at = core.find(NAMES[0])
    start = core.find("{", at)
    end = json_end(core, start) if start >= 0 else None
    if end is None:
        return None
    try:
        given = json.loads(core[start:end])
    except ValueError:
        return None
    if not _is_arguments(given):
        return None
    return CallSyntax(
        body="named", head=core[:at], middle=core[at + len(NAMES[0]) : start], tail="", closing=core[end:]
    )


def _read_python(core: str) -> CallSyntax | None:
    values = rf"{KEYS[0]}=(['\"]){VALUES[0]}\1, {KEYS[1]}=(['\"]){VALUES[1]}\2"
    found = re.search(rf"\[{NAMES[0]}\({values}\)\]", core)
    if found is None:
        return None
    return CallSyntax(
        body="python",
        begin=core[: found.start()] + "[",
        head="",
        middle="(",
        tail=")",
        separator=", ",
        end="]" + core[found.end() :],
        several=True,
    )


def _read_parameters(core: str) -> CallSyntax | None:
    at = core.find(NAMES[0])
    places = [core.find(word, at) for word in (KEYS[0], VALUES[0], KEYS[1], VALUES[1])]
    if -1 in places or places != sorted(places):
        return None
    key, value, next_key, next_value = places
    after_name = core[at + len(NAMES[0]) : key]
    between = core[key + len(KEYS[0]) : value]
    joint = core[value + len(VALUES[0]) : next_key]
    after = core[next_value + len(VALUES[1]) :]
    before_key = shared_end(after_name, joint)
    after_value = joint[: len(joint) - len(before_key)]
    if not between.strip() or not before_key.strip() or not after_value.strip() or not after.startswith(after_value):
        return None
    middle = after_name[: len(after_name) - len(before_key)]
    closing = after[len(after_value) :]
    bracket = re.match(r">\s*", before_key)
    if bracket and closing.startswith(bracket[0]):  # cut in front of a `<`, not behind it
        middle, before_key = middle + bracket[0], before_key[bracket.end() :]
        after_value, closing = after_value + bracket[0], closing[bracket.end() :]
    return CallSyntax(
        body="parameters",
        head=core[:at],
        middle=middle,
        tail="",
        closing=closing,
        parameter=(before_key, between, after_value),
    )


def _unit(syntax: CallSyntax, text: str, which: int) -> tuple[int, int] | None:
    """Where the call of that name begins (its head) and ends (its tail), the markers around it left out."""
    at = text.find(NAMES[which])
    if at < 0:
        return None
    if syntax.body == "parameters":
        last = text.find(VALUES[1], at)
        return (at, last + len(VALUES[1]) + len(syntax.parameter[2])) if last >= 0 else None
    start = text.find("{", at)
    end = json_end(text, start) if start >= 0 else None
    return None if end is None else (at, end + len(syntax.tail))


def _with_joint(syntax: CallSyntax, twice: str, first: tuple[int, int]) -> CallSyntax:
    """Split what stands around one call into what belongs to the call and what belongs to the group."""
    second = _unit(syntax, twice, 1)
    if second is None:
        return syntax
    joint = twice[first[1] : second[0]]
    before = syntax.opening + syntax.head
    if syntax.body == "object":
        joint = joint.removesuffix(syntax.head)
        before = syntax.opening
    after = syntax.closing
    mine = shared_end(before, joint)
    left = joint[: len(joint) - len(mine)]
    closing = left[: shared_length(left, after)]
    fields: dict[str, Any] = {
        "begin": before[: len(before) - len(mine)],
        "closing": closing,
        "separator": left[len(closing) :],
        "end": after[len(closing) :],
        "several": True,
    }
    fields["opening" if syntax.body == "object" else "head"] = mine
    return replace(syntax, **fields)


def _path(value: Any, wanted: Any, path: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    if wanted(value):
        return path
    if not isinstance(value, dict):
        return None
    return next(
        (found for key, part in value.items() if (found := _path(part, wanted, (*path, key))) is not None), None
    )


def _is_name(value: Any) -> bool:
    return bool(value == NAMES[0])


def _is_arguments(value: Any) -> bool:
    return isinstance(value, dict) and value == dict(zip(KEYS, VALUES, strict=True))


def shared_length(one: str, other: str) -> int:
    """The length of what both begin with, not counting half a marker: `<th` and `<to` share nothing."""
    start = _shared_start(one, other)
    return start.rfind("<") if "<" in start and start.rfind("<") > start.rfind(">") else len(start)


def shared_end(one: str, other: str) -> str:
    """What both end with, not counting half a marker."""
    end = _shared_start(one[::-1], other[::-1])[::-1]
    before, bracket, rest = end.partition(">")
    return rest if bracket and "<" not in before else end


def _shared_start(one: str, other: str) -> str:
    length = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]
