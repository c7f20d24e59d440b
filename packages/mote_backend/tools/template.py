"""How a chat template writes tool calls, read off its own rendering of a made-up conversation.

No table of models: the template renders a call with known names and values, and the text around them is the syntax.
Only gpt-oss's harmony has a word of its own, since its models write calls in another way than its template shows them.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from mote_backend.errors import InputError
from mote_backend.tools.call_shape import KEYS, NAMES, VALUES, read_calls, shared_end, shared_length
from mote_backend.tools.syntax import HARMONY, CallSyntax

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def tool_syntax(
    tokenizer: PreTrainedTokenizerBase,
    *,
    chat_template: str | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> CallSyntax:
    """The syntax of the tokenizer's chat template, or of another; `template_kwargs` are those of the later prompts.

    Raises InputError for a tokenizer without a chat template, and for a template that has no place for tools.
    """
    key = (chat_template or repr(tokenizer.chat_template), repr(sorted((template_kwargs or {}).items())))
    with _LOCK:
        known = _KNOWN.setdefault(tokenizer, OrderedDict())
        if key in known:
            known.move_to_end(key)
            return known[key]
    syntax = _probed(tokenizer, {**(template_kwargs or {}), "chat_template": chat_template})
    with _LOCK:
        known[key] = syntax
        while len(known) > _MOST_KNOWN:
            known.popitem(last=False)
    return syntax


_MOST_KNOWN = 64
"""Of one tokenizer: what a template is given can be another with each request."""
_LOCK = threading.Lock()
_KNOWN: WeakKeyDictionary[PreTrainedTokenizerBase, OrderedDict[tuple[str, str], CallSyntax]] = WeakKeyDictionary()


def _probed(tokenizer: PreTrainedTokenizerBase, template_kwargs: Mapping[str, Any]) -> CallSyntax:
    template = template_kwargs["chat_template"]
    if not (template or tokenizer.chat_template):
        raise InputError("This tokenizer has no chat template: pass chat_template, or a model that ships one.")
    probe = _Probe(tokenizer, template_kwargs)
    prompt = probe.render([_USER], tools=True)
    if prompt is None or prompt == probe.render([_USER], tools=False):
        raise InputError(
            "This model's chat template has no place for tools: use a model whose template takes them, or "
            "with_structured_output(method='json_schema'), which needs none."
        )
    reasons = "</think>" in str(tokenizer.get_chat_template(template, tools=[_TOOL]))
    found = _found(probe, prompt)
    if found is None and getattr(tokenizer, "response_template", None):
        found = CallSyntax(body="declared")
    if found is None and probe.shows_calls(prompt):
        raise InputError(
            "This model's chat template writes tool calls in a form that is not understood: use a model whose calls "
            "are JSON, XML parameters or Python, or with_structured_output(method='json_schema')."
        )
    found = found or CallSyntax()  # it takes tools but shows no calls: a bare JSON object
    return replace(found, reasons=reasons, reasoning_open=reasons and prompt.rstrip().endswith("<think>"))


_USER = {"role": "user", "content": "probe question"}
_IDS = ("idAlpha01", "idBravo02")
_LONG_IDS = ("call_alpha_0000001", "call_bravo_0000002")
_TEXT = "probe answer"
_TOOL = {
    "type": "function",
    "function": {
        "name": NAMES[0],
        "description": "probe tool",
        "parameters": {
            "type": "object",
            "properties": {key: {"type": "string", "description": key} for key in KEYS},
            "required": list(KEYS),
        },
    },
}


class _Probe:
    def __init__(self, tokenizer: PreTrainedTokenizerBase, template_kwargs: Mapping[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._kwargs = dict(template_kwargs)

    def render(self, messages: Sequence[Mapping[str, Any]], *, tools: bool, prompt: bool = True) -> str | None:
        """The template's text, or None where it refuses."""
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    [dict(message) for message in messages],
                    tools=[_TOOL] if tools else None,
                    tokenize=False,
                    add_generation_prompt=prompt,
                    **self._kwargs,
                )
            )
        except Exception:  # a template raises what it likes, such as jinja2's errors and TypeError
            return None

    def calls(self, number: int, ids: Sequence[str], as_text: bool) -> str | None:
        arguments: Any = dict(zip(KEYS, VALUES, strict=True))
        calls = [
            {
                "id": ids[at],
                "type": "function",
                "function": {"name": NAMES[at], "arguments": json.dumps(arguments) if as_text else arguments},
            }
            for at in range(number)
        ]
        return self.render([_USER, {"role": "assistant", "content": "", "tool_calls": calls}], tools=True, prompt=False)

    def shows_calls(self, prompt: str) -> bool:
        """Whether the template renders a past call at all."""
        shown = (self.calls(1, ids, as_text) for ids in (_LONG_IDS, _IDS) for as_text in (False, True))
        return any(NAMES[0] in whole[shared_length(prompt, whole) :] for whole in shown if whole is not None)


def _found(probe: _Probe, prompt: str) -> CallSyntax | None:
    for as_text in (False, True):
        for ids in (_LONG_IDS, _IDS):
            whole = probe.calls(1, ids, as_text)
            if whole is None or NAMES[0] not in whole[shared_length(prompt, whole) :]:
                continue
            if "<|channel|>" in whole and "to=functions." in whole:
                return replace(HARMONY, arguments_as_text=as_text)
            syntax = read_calls(_core(probe, prompt, whole), _core(probe, prompt, probe.calls(2, ids, as_text)), *ids)
            if syntax:
                return replace(syntax, arguments_as_text=as_text, short_ids=ids is _IDS)
    return None


def _core(probe: _Probe, prompt: str, whole: str | None) -> str | None:
    """What the calls add to the prompt, without what the template writes around any reply."""
    if whole is None:
        return None
    core = whole[shared_length(prompt, whole) :]
    plain = probe.render([_USER, {"role": "assistant", "content": _TEXT}], tools=True, prompt=False)
    if plain is None or _TEXT not in plain:
        return core
    before, _, after = plain[shared_length(prompt, plain) :].rpartition(_TEXT)
    core = core[shared_length(before, core) :] if NAMES[0] not in before else core
    return core[: len(core) - len(shared_end(after, core))]
