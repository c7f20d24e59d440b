"""Decoding held to a JSON schema, a pattern or a choice: which tokens may come next in one row of a batch.

The work is done by llguidance, an Earley parser over a trie of the vocabulary: no automaton to compile for each schema.
`Constraint` is what is asked, as plain data. `compile_grammar` binds it to one tokenizer, once. Each row that generates
takes a `GrammarState` of its own:

    state = compile_grammar(constraint, tokenizer, eos_token_ids).start()
    while not state.finished:
        state.mask(logits)          # logits [V] of this row: what may not come next is -inf, in place
        state.advance(chosen)       # the token id that was sampled
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from mote_backend.errors import SchemaError, shown
from mote_backend.grammar.json_schema import decodable

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from mote_backend.grammar.vocabulary import Vocabulary

Kind = Literal["json_schema", "regex", "choice", "lark"]

GRAMMARS_KEPT = 128
"""How many compiled grammars are kept per tokenizer; the least recently used goes first."""

MOST_CHOICES = 10_000

SPACING = {"whitespace_pattern": " ?", "coerce_one_of": True}
"""At most one space between JSON's tokens: a model that may write any white space can write it for ever."""


@dataclass(frozen=True)
class Constraint:
    """What a reply must be, as hashable plain data; it is checked when it meets a tokenizer."""

    kind: Kind
    source: str
    """The schema as JSON, the pattern, the choices as a JSON list, or a grammar in llguidance's Lark syntax."""

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any]) -> Constraint:
        """One JSON value of `schema`. Objects that list their properties are closed unless they say otherwise.

        Raises SchemaError for what is no schema.
        """
        return cls("json_schema", json.dumps(decodable(schema), ensure_ascii=False))

    @classmethod
    def json_object(cls) -> Constraint:
        """Any JSON object (OpenAI's `json_object`)."""
        return cls("json_schema", '{"type": "object"}')

    @classmethod
    def regex(cls, pattern: str) -> Constraint:
        """Text that `pattern` matches from its first character to its last (no look-around, no back-references)."""
        return cls("regex", pattern)

    @classmethod
    def choice(cls, options: Sequence[str]) -> Constraint:
        """Exactly one of `options`."""
        if not options or not all(isinstance(option, str) and option for option in options):
            raise SchemaError(
                f"The choices {shown(options)} cannot be decoded: give at least one text, none of them empty."
            )
        if len(options) > MOST_CHOICES:
            raise SchemaError(f"There are {len(options):,} choices, and decoding can be held to {MOST_CHOICES:,}.")
        return cls("choice", json.dumps(list(dict.fromkeys(options)), ensure_ascii=False))

    @classmethod
    def lark(cls, grammar: str) -> Constraint:
        """Text of a context-free grammar in llguidance's Lark syntax, with a rule named `start`."""
        return cls("lark", grammar)


class Grammar:
    """A constraint bound to one tokenizer. Immutable: many rows start from it, in any thread."""

    def __init__(self, constraint: Constraint, vocabulary: Vocabulary) -> None:
        from llguidance import LLMatcher, LLParserLimits

        self._constraint = constraint
        self._vocabulary = vocabulary
        if any("\ud800" <= one <= "\udfff" for one in constraint.source):
            raise SchemaError(f"The {_NAMES[constraint.kind]} holds half a character, which no text has; leave it out.")
        limits = LLParserLimits(verbose_errors=False)
        self._matcher = LLMatcher(
            vocabulary.tokenizer, _lark(constraint, vocabulary.spaced), log_level=0, limits=limits
        )
        if self._matcher.is_error():
            raise SchemaError(_refusal(constraint, self._matcher.get_error()))

    def start(self) -> GrammarState:
        """The state of a row that has generated nothing yet."""
        return GrammarState(self._matcher.deep_copy(), self._vocabulary, self._constraint)


class GrammarState:
    """Where one row stands in its grammar. Not shared between rows or threads."""

    def __init__(self, matcher: Any, vocabulary: Vocabulary, constraint: Constraint) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._constraint = constraint
        self._ended = False
        self._offered: Any = ()  # a bool per token: what the last mask left

    @property
    def finished(self) -> bool:
        """True once nothing may follow but the end of the reply."""
        return self._ended or bool(self._matcher.is_stopped() and not self._matcher.is_error())

    @property
    def may_end(self) -> bool:
        """True where what was generated so far is a whole reply already, though more may follow."""
        return self.finished or bool(self._matcher.is_accepting())

    def mask(self, logits: torch.Tensor) -> None:
        """Set the logits (shape [V] or [1, V], any device) of every token that may not come next to -inf, in place.

        Raises SchemaError where no token of this vocabulary can go on.
        """
        import numpy as np
        import torch

        row = logits.view(-1)
        allowed = np.zeros(row.shape[0], dtype=bool)
        if self.finished:
            allowed[list(self._vocabulary.end_ids)] = True
        else:
            bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
            known = np.unpackbits(bits, count=min(self._vocabulary.size, row.shape[0]), bitorder="little")
            allowed[: known.shape[0]] = known
        if self._matcher.is_error() or not allowed.any():
            raise self._dead_end()
        self._offered = allowed
        row.masked_fill_(~torch.from_numpy(allowed).to(row.device), float("-inf"))

    def advance(self, token: int) -> None:
        """Go one token on; an end token ends the row, and what comes after it is ignored.

        Raises SchemaError for a token that `mask` did not leave.
        """
        if self.finished:
            return
        if token in self._vocabulary.end_ids and self._matcher.is_accepting():
            self._ended = True
            return
        if self._matcher.consume_token(token):
            return
        if token < len(self._offered) and self._offered[token]:
            raise self._dead_end()
        raise SchemaError(
            f"Token {token} does not continue the {_NAMES[self._constraint.kind]}: sample only what mask() left."
        )

    def _dead_end(self) -> SchemaError:
        told = str(self._matcher.get_error() or "")
        if told.startswith("Parser Error"):  # the grammar is too large, which shows only where it is used
            return SchemaError(_refusal(self._constraint, told))
        return SchemaError(
            f"The model's tokenizer cannot spell what the {_NAMES[self._constraint.kind]} asks for next: "
            "ask for simpler text, or use a model whose tokenizer spells any text (byte-level or with byte fallback)."
        )


def compile_grammar(
    constraint: Constraint, tokenizer: PreTrainedTokenizerBase, eos_token_ids: Sequence[int]
) -> Grammar:
    """The grammar of `constraint` for this tokenizer, from the cache where it was asked for before.

    `eos_token_ids` are the ids that end a reply (those of the model's generation config).
    Raises SchemaError, in one sentence, for a schema that contradicts itself or uses what cannot be decoded to, and
    MissingExtraError where llguidance is not installed.
    """
    from mote_backend.grammar.vocabulary import vocabulary_of

    vocabulary = vocabulary_of(tokenizer, tuple(eos_token_ids))
    with _LOCK:
        kept = _GRAMMARS.setdefault(vocabulary, OrderedDict())
        if constraint in kept:
            kept.move_to_end(constraint)
            return kept[constraint]
    grammar = Grammar(constraint, vocabulary)
    with _LOCK:
        kept[constraint] = grammar
        while len(kept) > GRAMMARS_KEPT:
            kept.popitem(last=False)
    return grammar


def literal(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """`text` as Lark: quoted, except that what the tokenizer has as one added token is that token, by its id.

    A model that was trained with `<tool_call>` as one token should not be made to spell it in pieces.
    """
    added = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
    if not added:
        return json.dumps(text, ensure_ascii=False)
    pieces = re.split("(" + "|".join(re.escape(token) for token in sorted(added, key=len, reverse=True)) + ")", text)
    spelled = [
        f"<[{added[piece]}]>" if piece in added else json.dumps(piece, ensure_ascii=False) for piece in pieces if piece
    ]
    return " ".join(spelled) or '""'


_NAMES = {"json_schema": "JSON schema", "regex": "pattern", "choice": "list of choices", "lark": "grammar"}

_LOCK = threading.Lock()
_GRAMMARS: WeakKeyDictionary[Vocabulary, OrderedDict[Constraint, Grammar]] = WeakKeyDictionary()


def _lark(constraint: Constraint, spaced: bool) -> str:
    start = "start: / ?/ reply\nreply: " if spaced else "start: "
    if constraint.kind == "json_schema":
        return f"{start}%json " + json.dumps({**json.loads(constraint.source), "x-guidance": SPACING})
    if constraint.kind == "regex":
        from llguidance import regex_to_lark

        return f"{start}/{regex_to_lark(constraint.source, 'd')}/"
    if constraint.kind == "choice":
        options = " | ".join(json.dumps(option, ensure_ascii=False) for option in json.loads(constraint.source))
        return f"{start}CHOICE\nCHOICE: {options}"  # one terminal: of rules the parser takes 2,000 at most
    return constraint.source


def _refusal(constraint: Constraint, error: str) -> str:
    """One sentence out of llguidance's report, which goes on over several lines and shows the whole grammar."""
    reason = re.sub(
        r"^at \d+\(\d+\): ", "", " ".join(re.split(r"\n\s*\d+ \||<backtrace>|<non-verbose/>", error)[0].split())
    )
    reason = reason.removeprefix("failed to compile JSON schema: ").replace('"', "'").rstrip(". ")[:300]
    what = _NAMES[constraint.kind]
    return f"Decoding cannot be held to this {what} ({reason}): simplify that part of the {what}, or decode without it."
