"""Tokens to text in pieces, and the search for stop texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mote_backend.chat.text_stream import Detokenizer, StopSearch
from support.tiny_engine import byte_tokenizer

BYTES = byte_tokenizer()


def metaspace_tokenizer() -> PreTrainedTokenizerFast:
    """As sentencepiece has it: the space belongs to the word that follows, and decoding drops the first one."""
    words = ["<unk>", "<s>", *(f"▁{word}" for word in "the cat sat".split()), *"abcdest", "▁"]
    tokenizer = Tokenizer(models.BPE(vocab={word: at for at, word in enumerate(words)}, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Whole words without a decoder: decoding puts spaces between them."""
    words = ["<unk>", "the", "cat", "sat", ".", "n't"]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def pieces(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> list[str]:
    decoder = Detokenizer(tokenizer)
    return [*map(decoder.push, ids), decoder.flush()]


@given(st.text())
def test_pieces_of_byte_tokens_make_the_text_and_never_half_a_character(text: str) -> None:
    told = pieces(BYTES, BYTES(text, add_special_tokens=False)["input_ids"])
    assert "".join(told) == text
    assert all("\N{REPLACEMENT CHARACTER}" not in one for one in told) or "\N{REPLACEMENT CHARACTER}" in text


@given(st.lists(st.integers(0, 256), max_size=60))
def test_pieces_of_any_tokens_lose_nothing_that_is_text(ids: list[int]) -> None:
    whole = BYTES.decode(ids, skip_special_tokens=True)
    told = "".join(pieces(BYTES, ids))
    broken = str.maketrans("", "", "\N{REPLACEMENT CHARACTER}")
    assert told == whole or "\N{REPLACEMENT CHARACTER}" in whole
    assert abs(len(told.translate(broken)) - len(whole.translate(broken))) <= len(ids) // 8


@pytest.mark.parametrize("tokenizer", [metaspace_tokenizer(), word_tokenizer()])
@given(data=st.data())
def test_spaces_come_out_as_in_one_decoding(tokenizer: PreTrainedTokenizerFast, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=20))
    whole = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert "".join(pieces(tokenizer, ids)) == whole


def test_special_tokens_show_only_where_they_are_asked_for() -> None:
    ids = BYTES("a<|im_start|>b", add_special_tokens=False)["input_ids"]
    shown = Detokenizer(BYTES, skip_special_tokens=False)
    assert "".join(pieces(BYTES, ids)) == "ab"
    assert "".join([*map(shown.push, ids), shown.flush()]) == "a<|im_start|>b"


@given(st.text("abc"), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3), st.data())
def test_a_reply_ends_before_its_first_stop_text_however_it_is_cut(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    search = StopSearch(stops)
    told = ""
    for part in parts:
        told += search.push(part)
        if search.found is not None:
            break
    else:
        told += search.flush()
    if not any(stop in text for stop in stops):
        assert (told, search.found) == (text, None)
        return
    assert search.found is not None
    assert text.startswith(told + search.found)
    assert not any(stop in told for stop in stops)


@given(st.text("ab", max_size=12))
def test_nothing_is_held_back_that_cannot_begin_a_stop_text(text: str) -> None:
    search = StopSearch(["abb"])
    told = search.push(text)
    if search.found is None:
        assert text[len(told) :] == next((end for end in ("ab", "a") if text.endswith(end)), "")
