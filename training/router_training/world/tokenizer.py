"""A tokenizer of whole words, made from texts: small enough for a model that is trained from nothing in a minute."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_PIECES = (
    r"<think></think>\n?|</?\w+>|<\w+ \w+=\x22|\x22 \w+=\x22|\n</\w+>"  # tags, with what never varies
    r"| ?(?:kb|llm):\w+| ?\$?\w+(?:\.\w+)*|\n|[\s\S]"
)
_BARE = r"(?:^|(?<=[>\n]))(?!(?:kb|llm):)(?=[\w$])"
"""Where a word begins without a space."""
_PAD, _END, _UNKNOWN = "<|pad|>", "<|end|>", "<|unknown|>"
_ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def word_tokenizer(texts: Iterable[str], *, phrases: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Knows the words of these texts, and each of the phrases as one token; all other words are one token together.

    A word is the same token behind a tag as behind a space, so that a model can copy it: it comes back with a space
    before it. All else comes back to the letter.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    spacing = normalizers.Replace(Regex(_BARE), " ")
    splitting = pre_tokenizers.Split(Regex("|".join([*map(re.escape, phrases), _PIECES])), behavior="isolated")
    found = (piece for text in texts for piece, _ in splitting.pre_tokenize_str(spacing.normalize_str(text)))
    special = (_PAD, _END, _UNKNOWN, *_ROLES)
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys((*special, '"', ">", *found)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_UNKNOWN))
    tokenizer.normalizer = spacing
    tokenizer.pre_tokenizer = splitting
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(special))
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token=_END, pad_token=_PAD, unk_token=_UNKNOWN, padding_side="left"
    )
    made.chat_template = _TEMPLATE
    return made
