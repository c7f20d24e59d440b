"""Text → the keys of its terms: words without stop words, stemmed, and pairs of neighbours."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterable, Sequence

import numpy as np
import Stemmer
from numpy.typing import NDArray

VERSION = 1
"""Part of what a stored index was built with; raise it when the same text gives other keys."""

# A CJK character is a word of its own, so that pairs of neighbours serve as the usual bigrams.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|(?:(?![\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])\w)+")

STOP_WORDS = frozenset(
    "a an and are as at be been but by did do does for from had has have how if in into is it no not of on or "
    "such that the their then there these they this to was were what when where which who whom whose why will "
    "with".split()
)
"""Lucene's English list and the words that ask: rare in passages, so BM25 would take them for telling."""

_PAIR_A, _PAIR_B = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xC2B2AE3D27D4EB4F),
)  # odd, from splitmix64 and xxHash64

_local = threading.local()
_keys: dict[str, int] = {}
_MOST_KEYS = 1_000_000


def words(text: str) -> list[str]:
    """The stemmed words of a text, in order, stop words left out."""
    # A Stemmer keeps state and must not be shared between threads.
    stemmer = getattr(_local, "stemmer", None)
    if stemmer is None:
        stemmer = _local.stemmer = Stemmer.Stemmer("english", 200_000)
    found = [word for word in _WORD.findall(text.lower()) if word not in STOP_WORDS]
    return list(stemmer.stemWords(found))


def keys(terms: Iterable[str]) -> NDArray[np.uint64]:
    """A 64-bit key for each term: stable between processes, unlike `hash`; a collision is one in 10⁷ at 10⁶ terms."""
    if len(_keys) > _MOST_KEYS:
        _keys.clear()
    out = []
    for term in terms:
        key = _keys.get(term)
        if key is None:
            digest = hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            key = _keys[term] = int.from_bytes(digest, "little")
        out.append(key)
    return np.array(out, dtype=np.uint64)


def pairs(term_keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A key for each two neighbours, shape (n - 1,). «new york» is more telling than «new» and «york»."""
    if len(term_keys) < 2:
        return np.empty(0, dtype=np.uint64)
    return term_keys[:-1] * _PAIR_A + (term_keys[1:] ^ _PAIR_B) * _PAIR_B


def query_keys(query: str) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The distinct word keys and pair keys of a query."""
    single = keys(words(query))
    return np.unique(single), np.unique(pairs(single))


def split_for_index(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int32]]:
    """All terms of many texts: keys (t,), the row that each stands in (t,), and words per text (n,)."""
    all_keys, all_rows, lengths = [], [], np.zeros(len(texts), dtype=np.int32)
    for row, text in enumerate(texts):
        single = keys(words(text))
        lengths[row] = len(single)
        both = np.concatenate([single, pairs(single)])
        all_keys.append(both)
        all_rows.append(np.full(len(both), row, dtype=np.int32))
    if not all_keys:
        return np.empty(0, np.uint64), np.empty(0, np.int32), lengths
    return np.concatenate(all_keys), np.concatenate(all_rows), lengths
