"""A conversation to token ids, through the model's chat template."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mote_backend.errors import PromptError

_BREAK = "\ufdd0"
"""A code point that is no character, and so stands in no text: where it is, the text is tokenized in two parts."""
_FROM_OUTSIDE = frozenset({"user", "tool"})
Message = Mapping[str, Any]


def prompt_ids(
    tokenizer: Any,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    chat_template: str | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> tuple[int, ...]:
    """The prompt up to the place where the reply begins.

    A template that has no system role, or wants users and assistants to alternate, gets the system message before the
    first user's, in one message with it, and neighbours of one role as one message. Text that spells a control token,
    such as `<|im_end|>`, is read as it stands, in other tokens. PromptError says what is wrong.
    """
    if not (chat_template or tokenizer.chat_template):
        raise PromptError(
            "This model has no chat template, so it cannot read a conversation; pass chat_template, or use a model "
            "that was trained to chat."
        )
    if not messages:
        raise PromptError("There are no messages; give at least one.")
    safe, safe_tools = guarded(tokenizer, messages, tools or ())
    options = _broken_up(dict(template_kwargs or {}), _any_of([str(one) for one in _added(tokenizer) if one.special]))

    def render(several: Sequence[Message]) -> str:
        text = tokenizer.apply_chat_template(
            [dict(one) for one in several],
            tools=safe_tools or None,
            chat_template=chat_template,
            tokenize=False,
            add_generation_prompt=True,
            **options,
        )
        return str(text)

    parts = _rendered(render, safe).split(_BREAK)
    return tuple(id_ for part in parts if part for id_ in tokenizer(part, add_special_tokens=False)["input_ids"])


def guarded(
    tokenizer: Any, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Messages and tools with a break in each control token that they spell, and for what comes from users and tools
    in every added token."""
    added = _added(tokenizer)
    control = _any_of([str(one) for one in added if one.special])
    every = _any_of([str(one) for one in added])
    safe = [
        {
            key: _broken_up(value, every if message["role"] in _FROM_OUTSIDE else control)
            for key, value in message.items()
        }
        for message in messages
    ]
    return safe, _broken_up(list(tools), every)


def _broken_up(value: Any, pattern: re.Pattern[str] | None) -> Any:
    if isinstance(value, str):
        value = _whole(value)
        return pattern.sub(lambda found: found[0][:1] + _BREAK + found[0][1:], value) if pattern else value
    if isinstance(value, Mapping):
        return {_broken_up(key, pattern): _broken_up(one, pattern) for key, one in value.items()}
    return [_broken_up(one, pattern) for one in value] if isinstance(value, list | tuple) else value


def _whole(text: str) -> str:
    """`text` without halves of characters, which JSON can spell ("\\ud800") and no tokenizer reads."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _added(tokenizer: Any) -> list[Any]:
    return list(tokenizer.added_tokens_decoder.values())


def _any_of(tokens: Sequence[str]) -> re.Pattern[str] | None:
    # A token of one character, or of white space alone, is no control token of a template.
    words = sorted({one for one in tokens if len(one.strip()) > 1}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, words))) if words else None


def _rendered(render: Callable[[Sequence[Message]], str], messages: Sequence[Message]) -> str:
    system = next((str(one["content"]).strip() for one in messages if one["role"] == "system"), "")
    try:
        text = render(messages)
        if system in text:
            return text
    except Exception as error:  # templates raise what they like
        refused = error
    else:
        refused = PromptError("it leaves the system message out")
    for change in (_system_in_user, lambda several: _alternating(_system_in_user(several)), _alternating):
        try:
            text = render(change(messages))
        except Exception:
            continue
        if system in text:
            return text
    raise PromptError(f"The chat template refuses these messages: {str(refused).rstrip('.')}.") from refused


def _system_in_user(messages: Sequence[Message]) -> list[Message]:
    told = [str(one["content"]) for one in messages if one["role"] == "system"]
    rest = [one for one in messages if one["role"] != "system"]
    at = next((at for at, one in enumerate(rest) if one["role"] == "user"), None)
    if not told:
        return list(messages)
    if at is None:
        return [{"role": "user", "content": "\n\n".join(told)}, *rest]
    return [*rest[:at], {**rest[at], "content": "\n\n".join([*told, str(rest[at]["content"])])}, *rest[at + 1 :]]


def _alternating(messages: Sequence[Message]) -> list[Message]:
    joined: list[Message] = []
    for message in messages:
        last = joined[-1] if joined else None
        if last is not None and last["role"] == message["role"] and message["role"] in ("user", "assistant"):
            contents = [one for one in (str(last["content"]), str(message["content"])) if one]
            calls = [*last.get("tool_calls", ()), *message.get("tool_calls", ())]
            joined[-1] = {**last, "content": "\n\n".join(contents)} | ({"tool_calls": calls} if calls else {})
        else:
            joined.append(message)
    return joined
