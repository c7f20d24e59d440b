"""Whether a reply shows a behaviour, by rules that can be read: length, format, a pattern, a known answer, or a
function of the user's own. Refusals, languages and judging by another model have files of their own.

A judge is called with the prompt and the reply, both plain text, and gives a score from 0 (does not show it) to 1
(shows it), or None if it cannot tell. None is counted and reported, never guessed.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from mote_backend.errors import InputError
from mote_backend.judging.reply_text import normalized, spoken

Format = Literal["json", "bullets", "code", "table"]


@runtime_checkable
class Judge(Protocol):
    """Scores one reply."""

    @property
    def name(self) -> str:
        """For people: what is judged, such as "refusal"."""
        ...

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change when its rules change, written beside every result."""
        ...

    def __call__(self, prompt: str, reply: str) -> float | None:
        """The score of the reply, 0 to 1, or None if it cannot tell."""
        ...


@runtime_checkable
class ManyJudge(Judge, Protocol):
    """A judge that is faster with many replies at once."""

    def many(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """The scores of (prompt, reply) pairs, in their order."""
        ...


def judge_all(judge: Judge, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
    """The score of each (prompt, reply), in their order. InputError if one is not between 0 and 1."""
    scores = judge.many(pairs) if isinstance(judge, ManyJudge) else [judge(prompt, reply) for prompt, reply in pairs]
    return [_checked(judge.name, score) for score in scores]


def as_judge(given: Judge | Callable[[str, str], Any], name: str | None = None) -> Judge:
    """A judge as it is, or a function `(prompt, reply) -> score` as a judge."""
    if isinstance(given, Judge):
        return given
    if callable(given):
        return FunctionJudge(given, name or getattr(given, "__name__", "function").strip("<>"))
    raise InputError(f"{given!r} is no judge; give a judge or a function (prompt, reply) -> score from 0 to 1.")


def digest(*parts: Any) -> str:
    """12 hex digits of plain JSON data: the fingerprint of a judge whose rules it describes."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class FunctionJudge:
    """A scorer of the user's own: 0 to 1, True or False, or None if it cannot tell."""

    function: Callable[[str, str], Any]
    name: str = "function"
    version: str = "1"
    """To be raised when the function changes: its code is not part of the fingerprint."""

    @property
    def fingerprint(self) -> str:
        """Of its name and version."""
        return digest("function", self.name, self.version)

    def __call__(self, prompt: str, reply: str) -> float | None:
        """What the function says."""
        return _checked(self.name, self.function(prompt, reply))


@dataclass(frozen=True)
class LengthJudge:
    """Verbosity: 0 for no words, 1 for `long` words or more, linear between."""

    long: int = 100
    """Words. In scripts without spaces (Chinese, Japanese, Thai), a character counts as a word."""

    def __post_init__(self) -> None:
        if self.long < 1:
            raise InputError(f"long is {self.long}; it is a number of words from 1.")

    @property
    def name(self) -> str:
        """Such as "length (100 words = 1)"."""
        return f"length ({self.long} words = 1)"

    @property
    def fingerprint(self) -> str:
        """Of its length."""
        return digest("length", self.long)

    def __call__(self, prompt: str, reply: str) -> float:
        """Words of the reply, as a share of `long`."""
        return min(1.0, self.words(reply) / self.long)

    @staticmethod
    def words(reply: str) -> int:
        """Words of the reply, without what was thought before it."""
        return len(_WORD.findall(spoken(reply)))


@dataclass(frozen=True)
class FormatJudge:
    """Whether the reply is written in a format."""

    format: Format = "bullets"
    """json: the reply, or the only fenced block in it, is a JSON object or array (0 or 1). bullets: the share of its
    lines that are list items, if there are two or more. code: it has a fenced block (0 or 1). table: it has a Markdown
    table (0 or 1)."""

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            raise InputError(f"The format is {self.format!r}; it can be {', '.join(map(repr, get_args(Format)))}.")

    @property
    def name(self) -> str:
        """Such as "format: json"."""
        return f"format: {self.format}"

    @property
    def fingerprint(self) -> str:
        """Of its format."""
        return digest("format", self.format)

    def __call__(self, prompt: str, reply: str) -> float:
        """How far the reply is in the format."""
        return _FORMATS[self.format](spoken(reply))


@dataclass(frozen=True)
class RegexJudge:
    """1 if a pattern is found in the reply, else 0."""

    pattern: str
    ignore_case: bool = True
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            compiled = re.compile(self.pattern, re.IGNORECASE if self.ignore_case else 0)
        except re.error as error:
            raise InputError(f"The pattern {self.pattern!r} cannot be read: {error}.") from None
        object.__setattr__(self, "_compiled", compiled)

    @property
    def name(self) -> str:
        """The pattern."""
        return f"pattern {self.pattern!r}"

    @property
    def fingerprint(self) -> str:
        """Of the pattern."""
        return digest("regex", self.pattern, self.ignore_case)

    def __call__(self, prompt: str, reply: str) -> float:
        """Whether it is found, without what was thought before the reply."""
        return float(self._compiled.search(spoken(reply)) is not None)


@dataclass(frozen=True)
class AnswerJudge:
    """1 if the reply is the known answer, in other case and spacing too; None for a prompt without a known answer."""

    answers: Mapping[str, str] = field(repr=False)
    """By the prompt's text."""
    contained: bool = False
    """The answer may stand anywhere in the reply."""
    name: str = "right answer"

    @property
    def fingerprint(self) -> str:
        """Of the answers."""
        return digest("answers", dict(self.answers), self.contained)

    def __call__(self, prompt: str, reply: str) -> float | None:
        """Whether the reply is right."""
        if (answer := self.answers.get(prompt)) is None:
            return None
        wanted, said = normalized(answer).strip(" ."), normalized(spoken(reply)).strip(" .")
        if self.contained:
            return float(re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", said) is not None)
        return float(wanted == said)


def _checked(name: str, score: Any) -> float | None:
    if score is None:
        return None
    if isinstance(score, bool | int | float) and math.isfinite(score) and 0 <= score <= 1:
        return float(score)
    raise InputError(f"The judge {name!r} gave {score!r}; a score is a number from 0 to 1, or None.")


_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
"""Letters of scripts without spaces: kana, Han and Thai."""
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+(?:['\u2019-][^\W_{_UNSPACED}]+)*")
_FENCED = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*\n(.*?)^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE)
_ITEM = re.compile(r"\s*(?:[-*+•‣\u2013]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)+\|?\s*")


def _json(reply: str) -> float:
    fenced = [block[1] for block in _FENCED.findall(reply)]
    try:
        return float(isinstance(json.loads(fenced[0] if len(fenced) == 1 else reply), dict | list))
    except (ValueError, RecursionError):
        return 0.0


def _bullets(reply: str) -> float:
    lines = [line for line in reply.splitlines() if line.strip()]
    items = sum(_ITEM.match(line) is not None for line in lines)
    return items / len(lines) if items >= 2 else 0.0


def _code(reply: str) -> float:
    return float(_FENCED.search(reply) is not None)


def _table(reply: str) -> float:
    lines = reply.splitlines()
    return float(any("|" in head and _RULE.fullmatch(rule) for head, rule in pairwise(lines)))


_FORMATS: dict[Format, Callable[[str], float]] = {"json": _json, "bullets": _bullets, "code": _code, "table": _table}
