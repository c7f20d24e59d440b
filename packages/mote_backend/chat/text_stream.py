"""Tokens to text, piece by piece: whole characters only, and nothing that may turn out to be a stop text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_BROKEN = "\N{REPLACEMENT CHARACTER}"
_LONGEST_CHARACTER = 8
"""Tokens without a whole character after which their bytes are taken for no text at all; UTF-8 needs 4."""


class Detokenizer:
    """Decodes tokens as they come. The pieces put together are the text, whatever the tokenizer does with spaces."""

    def __init__(self, tokenizer: Any, *, skip_special_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._ids: list[int] = []
        # Each piece is decoded together with the tokens of the piece before it: many tokenizers drop a leading space.
        self._before = 0
        self._read = 0

    def push(self, token: int) -> str:
        """The text that this token completes, often "" or the token's own."""
        self._ids.append(token)
        fresh = self._fresh()
        if fresh.endswith(_BROKEN) and len(self._ids) - self._read < _LONGEST_CHARACTER:
            return ""
        if fresh:
            self._before, self._read = self._read, len(self._ids)
        return fresh

    def flush(self) -> str:
        """What is left at the end, such as half a character."""
        fresh = self._fresh()
        self._before, self._read = self._read, len(self._ids)
        return fresh

    def _fresh(self) -> str:
        known = self._decode(self._ids[self._before : self._read])
        return self._decode(self._ids[self._before :])[len(known) :]

    def _decode(self, ids: Sequence[int]) -> str:
        if not ids:
            return ""
        text = self._tokenizer.decode(ids, skip_special_tokens=self._skip, clean_up_tokenization_spaces=False)
        return str(text)


class StopSearch:
    """Finds the first stop text in a text that comes in pieces, and holds back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found: str | None = None
        """The stop text that ended the reply."""

    def push(self, piece: str) -> str:
        """What can be shown now. Once `found` is set nothing more comes."""
        if not self._stops:
            return piece
        text = self._held + piece
        hits = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if hits:
            at, self.found = min(hits)
            self._held = ""
            return text[:at]
        held = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """What was held back, at an end without a stop."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of the text that a stop text begins with."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
