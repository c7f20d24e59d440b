"""Messages as providers take them: with pictures, with a tail, and whatever their content is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage


def human(text: str, images: Sequence[str] = ()) -> HumanMessage:
    """A message of text, and pictures behind it."""
    if not images:
        return HumanMessage(text)
    pictures: list[str | dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return HumanMessage([{"type": "text", "text": text}, *pictures])


def with_tail(messages: Sequence[BaseMessage], tail: str) -> list[BaseMessage]:
    """The messages, with a paragraph at the end of the last: not in one of its own, as some models take no two
    messages of a person in a row."""
    *before, last = messages
    content = last.content
    longer = f"{content}\n\n{tail}" if isinstance(content, str) else [*content, {"type": "text", "text": tail}]
    return [*before, last.model_copy(update={"content": longer})]


def text_of(message: BaseMessage) -> str:
    """The text of a message, whatever its content is."""
    if isinstance(message.content, str):
        return message.content
    texts = (one if isinstance(one, str) else one.get("text") for one in message.content)
    return "".join(text for text in texts if isinstance(text, str))
