"""Finding the tags of a grammar in a policy's reply, in one pass from left to right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from router_graph.actions import Action, Answer, Malformed, Note
from router_graph.protocols.protocol import Reading
from router_graph.protocols.text import unescape
from router_graph.view import View

_INSIDE = r"""(?:[^<>"']|"[^"]*"|'[^']*')*+"""
_ATTRIBUTE = re.compile(r"""(?<![\w-])([\w-]++)\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"']+))""")
_FRAME = re.compile(rf"<\s*+(/?)\s*+(?:(think)(?=[\s/>]){_INSIDE}>|(information)\b)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Element:
    """A tag with what stands in it, unescaped, with no space at its ends."""

    tag: str
    attributes: Mapping[str, str]
    body: str
    is_next: bool
    """Nothing but space or a thought stands between it and the element before."""
    end: int
    """Where it ends in the reply."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a reply holds."""

    thought: str
    elements: tuple[Element | Malformed, ...]
    outside: str
    """What stands in no tag."""
    said: str
    """The reply as far as it counts, with the closing tag that a sampler's stop cut off."""


def scan(reply: str, tags: tuple[str, ...]) -> Scan:
    """The elements of a reply, in its order.

    What is in `<think>`, or before a `</think>` that nothing opened, is no action. At `<information>` the reply ends:
    what follows is what the policy imagines. Of a tag the case, spaces, the kind of quotes and, at the very end of the
    reply, its closing do not matter; a tag that another one interrupts is `Malformed`.
    """
    thoughts, rest, problem = _without_thought(reply)
    elements, outside, unclosed = _elements(rest, tags) if tags else ([], _joined([rest]), None)
    if problem is not None and not elements:
        elements = [problem]
    said = reply[: len(rest)].rstrip() + (f"</{unclosed}>" if unclosed else "")
    return Scan(_joined(thoughts) or outside, tuple(elements), outside, said)


def reading(found: Scan, actions: Sequence[Action], view: View, *, wanted: str) -> Reading:
    """Which of the actions count.

    An answer counts in a reply that asks nobody: who asks and guesses at once does not mean to end the run. Where only
    an answer is legal it counts alone, and there a reply without any tag is one. `wanted` says what a reply that is no
    action should have been.
    """
    answers = [one for one in actions if isinstance(one, Answer)][:1]
    others: list[Action] = list(dict.fromkeys(one for one in actions if not isinstance(one, Answer)))
    if view.must_answer and answers:
        return Reading(found.thought, tuple(answers))
    if all(isinstance(one, Note) for one in others):
        others += answers
    if others:
        return Reading(found.thought, tuple(others))
    if view.must_answer and found.outside:
        thought = "" if found.thought == found.outside else found.thought
        return Reading(thought, (Answer(found.outside),))
    return Reading(found.thought, (Malformed(f"The reply holds no action; {wanted}"),))


@lru_cache
def _tags(tags: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(map(re.escape, tags))
    return re.compile(rf"<\s*+(/?)\s*+({names})(?=[\s/>])({_INSIDE})>", re.IGNORECASE | re.ASCII)


def _without_thought(reply: str) -> tuple[list[str], str, Malformed | None]:
    """The thoughts; the reply as far as it counts, with space in their places; and what is wrong with it."""
    thoughts: list[str] = []
    rest, position, opened = "", 0, False
    for found in _FRAME.finditer(reply):
        closes, is_thought = bool(found[1]), found[2] is not None
        if not is_thought and not opened:
            rest += reply[position : found.start()]
            return thoughts, rest, None
        if not is_thought or (opened and not closes):
            continue
        before = reply[position : found.start()]
        if not closes:
            rest += before
        elif opened:
            thoughts.append(before)
        else:  # the chat template had opened it
            thoughts.append(rest.strip() + before)
            rest = ""
        position, opened = found.end(), not closes
        rest = rest.ljust(position)
    if not opened:
        return thoughts, rest + reply[position:], None
    problem = Malformed("<think> was not closed; close it with </think>, and act behind it.")
    return [*thoughts, reply[position:]], rest.ljust(len(reply)), problem


def _elements(rest: str, tags: tuple[str, ...]) -> tuple[list[Element | Malformed], str, str | None]:
    """The elements, what stands outside of them, and the tag that the end of the reply closes."""
    pattern, elements, outside, position, last = _tags(tags), list[Element | Malformed](), list[str](), 0, ""
    while found := pattern.search(rest, position):
        between, tag = rest[position : found.start()], found[2].lower()
        outside.append(between)
        if found[1]:
            if tag != last:
                elements.append(Malformed(f"</{tag}> closes nothing; write <{tag}> before it, with its quotes closed."))
            position = found.end()
            continue
        end = pattern.search(rest, found.end())
        if end is not None and not (end[1] and end[2].lower() == tag):
            other = f"<{end[1]}{end[2].lower()}>"
            elements.append(Malformed(f"<{tag}> was not closed before {other}; close one, then open the next."))
            position, last = (end.end() if end[1] else end.start()), tag
            continue
        body = rest[found.end() : None if end is None else end.start()]
        is_next = bool(elements) and not between.strip()
        elements.append(
            Element(tag, _attributes(found[3]), unescape(body).strip(), is_next, end.end() if end else len(rest))
        )
        if end is None:
            return elements, _joined(outside), tag
        position, last = end.end(), tag
    return elements, _joined([*outside, rest[position:]]), None


def _attributes(inside: str) -> dict[str, str]:
    found = (one.groups(default="") for one in _ATTRIBUTE.finditer(inside))
    return {name.lower(): unescape(double or single or bare) for name, double, single, bare in found}


def _joined(pieces: Sequence[str]) -> str:
    return " ".join(text for one in pieces if (text := unescape(one).strip()))
