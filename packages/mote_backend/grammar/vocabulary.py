"""A tokenizer's vocabulary as bytes, the form in which a grammar can be held against it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from mote_backend.errors import MissingExtraError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """What llguidance knows of one tokenizer. Compared by identity: made once per tokenizer and set of end tokens."""

    tokenizer: Any
    """An `llguidance.LLTokenizer`."""
    size: int
    """Number of token ids; a model's logits may be wider, and the rest never comes."""
    end_ids: tuple[int, ...]
    """The ids that end a reply."""
    spaced: bool
    """True where a word brings the space before it along, so that a reply may begin with one space too many."""


def vocabulary_of(tokenizer: PreTrainedTokenizerBase, end_ids: tuple[int, ...]) -> Vocabulary:
    """The vocabulary of `tokenizer`, read once (0.7 s for 120,000 tokens).

    Raises MissingExtraError where llguidance is not installed.
    """
    with _LOCK:
        kept = _KEPT.setdefault(tokenizer, {})
        key = (len(tokenizer), end_ids)
        if key not in kept:
            kept[key] = _read(tokenizer, end_ids)
        return kept[key]


_LOCK = threading.Lock()
_KEPT: WeakKeyDictionary[PreTrainedTokenizerBase, dict[tuple[int, tuple[int, ...]], Vocabulary]] = WeakKeyDictionary()


def _read(tokenizer: PreTrainedTokenizerBase, end_ids: tuple[int, ...]) -> Vocabulary:
    try:
        from llguidance import LLTokenizer, TokenizerWrapper
    except ImportError:
        raise MissingExtraError(
            "Decoding to a schema needs llguidance, which is not installed: pip install 'polyroute[mote]'."
        ) from None

    known = tuple(number for number in end_ids if 0 <= number < len(tokenizer))
    ends = known or tuple(number for number in (tokenizer.eos_token_id,) if number is not None) or (len(tokenizer) - 1,)
    pieces, spaced = _bytes_of(tokenizer, ends)
    read = LLTokenizer(TokenizerWrapper(_Spelling(tokenizer, pieces, ends)), n_vocab=len(pieces), eos_token=list(ends))
    return Vocabulary(read, len(pieces), ends, spaced)


def _bytes_of(tokenizer: PreTrainedTokenizerBase, end_ids: tuple[int, ...]) -> tuple[list[bytes], bool]:
    """The bytes that each token adds to a text, special tokens marked by 0xFF; and whether words bring their space."""
    from llguidance import LLTokenizer

    serialised = _serialised(tokenizer)
    if serialised is not None:
        try:
            read = LLTokenizer(serialised, n_vocab=len(tokenizer), eos_token=list(end_ids))
        except ValueError:
            pass  # llguidance reads byte-level and byte-fallback decoders only
        else:
            special = {number for number in range(len(tokenizer)) if read.is_special_token(number)}
            pieces = [bytes(read.decode_bytes([number])) for number in range(len(tokenizer))]
            return _marked(pieces, special), False

    texts = [_text_after_itself(tokenizer, number) for number in range(len(tokenizer))]
    special = {*tokenizer.all_special_ids, *end_ids}
    special |= {number for number, text in enumerate(texts) if not text or "\ufffd" in text}
    spaced = sum(text.startswith(" ") for text in texts) > len(texts) // 4
    return _marked([text.encode() for text in texts], special), spaced


def _marked(pieces: list[bytes], special: Iterable[int]) -> list[bytes]:
    for number in special:
        pieces[number] = b"\xff<%d>" % number
    return pieces


def _serialised(tokenizer: PreTrainedTokenizerBase) -> str | None:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    backend = copy(backend)
    backend.no_padding()
    backend.no_truncation()
    return str(backend.to_str())


def _text_after_itself(tokenizer: PreTrainedTokenizerBase, number: int) -> str:
    return str(tokenizer.decode([number, number])).removeprefix(str(tokenizer.decode([number])))


class _Spelling:
    """How text that the grammar forces is spelled in tokens; the shape of object that llguidance asks for.

    The tokenizer's own spelling where it adds nothing of its own, otherwise the longest pieces: a tokenizer puts a
    space before the first word, or reads a marker in the text as a control token, and the grammar asked for neither.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, pieces: list[bytes], end_ids: tuple[int, ...]) -> None:
        self._tokenizer = tokenizer
        self._numbers = {piece: number for number, piece in enumerate(pieces) if not piece.startswith(b"\xff")}
        self._longest = max(map(len, self._numbers), default=0)
        self.tokens = pieces
        self.eos_token_id = end_ids[0]
        self.bos_token_id = tokenizer.bos_token_id
        self.special_token_ids = [number for number, piece in enumerate(pieces) if piece.startswith(b"\xff")]

    def __call__(self, text: bytes | str) -> list[int]:
        given = text.encode() if isinstance(text, str) else text
        own = self._tokenizer.encode(given.decode(errors="replace"), add_special_tokens=False)
        return own if b"".join(self.tokens[number] for number in own) == given else self._longest_pieces(given)

    def _longest_pieces(self, given: bytes) -> list[int]:
        spelled: list[int] = []
        at = 0
        while at < len(given):
            end = next(
                (e for e in range(min(len(given), at + self._longest), at, -1) if given[at:e] in self._numbers), 0
            )
            if not end:
                break  # no token begins like this: the grammar goes on from what could be spelled
            spelled.append(self._numbers[given[at:end]])
            at = end
        return spelled
