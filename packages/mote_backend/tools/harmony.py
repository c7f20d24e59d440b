"""gpt-oss's replies (OpenAI's harmony format): messages on the channels analysis, commentary and final."""

from __future__ import annotations

import re

from mote_backend.tools.json_text import json_end, json_object
from mote_backend.tools.read_call import ReadCall, refused

_TO = r"(?:\s*to=(?P<{}>[\w.\-]+))?"
_HEADER = re.compile(
    rf"(?:<\|start\|>)?(?:assistant)?{_TO.format('before')}\s*<\|channel\|>(?P<channel>\w+)"
    rf"{_TO.format('behind')}[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
)
_END = re.compile(r"<\|(?:end|call|return)\|>|(?=<\|start\|>)")

MARKERS = ("<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>")


def read_harmony(reply: str, final: bool) -> tuple[list[str], list[str], list[ReadCall]]:
    """The texts, the thoughts and the calls of a reply as far as it has come."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ReadCall] = []
    at = 0
    while header := _HEADER.match(reply, at):
        end = _END.search(reply, header.end())
        content = reply[header.end() : end.start() if end else len(reply)]
        whole = final or end is not None
        recipient = header["before"] or header["behind"] or ""
        if recipient.startswith("functions."):
            calls.append(_call(recipient.removeprefix("functions."), content, whole))
        else:
            (thoughts if header["channel"] == "analysis" else texts).append(content)
        if end is None:
            return texts, thoughts, calls
        at = end.end()
    if final:  # no header follows, which harmony does not know: it is text
        texts.append(reply[at:])
    return texts, thoughts, calls


def _call(name: str, content: str, whole: bool) -> ReadCall:
    raw = content.lstrip()
    end = json_end(raw, 0) if raw.startswith("{") else None
    if not whole:
        return ReadCall(name, raw[:end])
    arguments = raw[:end] if end else raw.rstrip() or "{}"
    if json_object(arguments) is not None:
        return ReadCall(name, arguments)
    return refused(name, arguments, "its arguments are no JSON")
