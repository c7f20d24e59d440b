"""A prompt as the tokens that the model reads: through the chat template, or as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mote_backend.chat.prompt import prompt_ids
from mote_backend.errors import PromptError
from mote_backend.ftri.prompts import Prompt


@dataclass(frozen=True)
class PromptTokens:
    """Token ids of a prompt, and of its reply if it has one."""

    prompt: list[int]
    reply: list[int]
    text: str
    """What the last message says, for messages about it."""


def encode(
    tokenizer: Any,
    prompt: Prompt,
    *,
    system: str | None = None,
    raw: bool = False,
    template_kwargs: Mapping[str, Any] | None = None,
) -> PromptTokens:
    """The prompt up to the place where the model is to answer, just as a chat model gives it to the model; then the
    reply, if any, as a continuation.

    With `raw` its text is taken as it stands, without the chat template: for base models. PromptError says what is
    missing.
    """
    if raw:
        if len(prompt.messages) > 1 or system is not None:
            raise PromptError("A conversation or a system message needs the chat template; leave raw=True out.")
        ids = list(tokenizer(prompt.text)["input_ids"])
    else:
        if not getattr(tokenizer, "chat_template", None):
            raise PromptError(
                "The tokenizer has no chat template; set `tokenizer.chat_template`, or give the prompts "
                "to the model as they stand (raw=True, --raw)."
            )
        messages = [{"role": role, "content": content} for role, content in prompt.messages]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        ids = list(prompt_ids(tokenizer, messages, template_kwargs=template_kwargs))
    if not ids:
        raise PromptError(f"The prompt {prompt.text[:80]!r} has no tokens.")
    reply = list(tokenizer(prompt.reply, add_special_tokens=False)["input_ids"]) if prompt.reply else []
    return PromptTokens(ids, reply, prompt.text)


def context_length(model: Any) -> int | None:
    """Tokens that the model reads at most; None if its configuration does not say."""
    config: Any = getattr(model, "config", None)
    text: Any = config.get_text_config() if hasattr(config, "get_text_config") else config
    return getattr(text, "max_position_embeddings", None)
