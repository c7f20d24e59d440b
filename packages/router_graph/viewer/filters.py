"""The language in which runs are filtered, and the SQL that it becomes.

`dune policy=gate usd>0.01 (step.kb:tables step.status=empty or right=false) not forked=true`

Terms beside each other must all hold; `or`, `not` and parentheses do what they say. A word alone, or a text in quotes,
is looked for in question and answer. Terms of steps beside each other speak of one action of one step; put each into
parentheses of its own where they may speak of several. `!=` is `not` with `=`. `=none` holds where there is none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from router_graph.viewer.filter_fields import FIELDS, SQL, compare
from router_graph.viewer.problems import Problem

LONGEST, DEEPEST, MOST_TERMS = 2_000, 40, 100
_FIELD = re.compile(r"([^\W\d][\w.]*)\s*(!=|<=|>=|[:=<>])\s*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_WORD = re.compile(r'[^\s()"]+')
_VALUE = re.compile(r'[^\s()"]+')
_KEYWORD = re.compile(r"(or|and|not)(?![^\s()\"])", re.IGNORECASE)


class FilterError(Problem):
    """A filter that cannot be read: one sentence, and where it is wrong."""

    def __init__(self, message: str, at: int, end: int) -> None:
        super().__init__(400, message, at=at, end=max(end, at + 1))


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a filter: `(`, `)`, `or`, `and`, `not`, or a term."""

    kind: str
    at: int
    end: int
    sql: SQL = ("", [])
    is_step: bool = False


@dataclass(frozen=True, slots=True)
class _Node:
    """`sql` holds for a run `r`; `step_sql`, where it can be asked of one action, for an action `a`."""

    sql: SQL
    step_sql: SQL | None = None


def where(text: str) -> SQL:
    """The condition on a run `r`, and the values of its marks; "1" for no filter. Raises `FilterError`."""
    if len(text) > LONGEST:
        raise FilterError(f"The filter has {len(text):,} characters; at most {LONGEST:,} are read.", LONGEST, len(text))
    tokens = _tokens(text.encode(errors="replace").decode())  # half a surrogate pair is no text
    if not tokens:
        return "1", []
    reader = _Reader(tokens, len(text))
    node = reader.alternatives(0)
    if (extra := reader.here) is not None:
        raise FilterError(f"The ) at character {extra.at + 1} closes nothing; remove it.", extra.at, extra.end)
    return node.sql


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        tokens.append(token := _token(text, at))
        at = token.end
    if sum(one.kind == "term" for one in tokens) > MOST_TERMS:
        raise FilterError(f"The filter has more than {MOST_TERMS} terms; use fewer.", 0, len(text))
    return tokens


def _token(text: str, at: int) -> Token:
    if text[at] in "()":
        return Token(text[at], at, at + 1)
    if field := _FIELD.match(text, at):
        return _field_term(text, at, field)
    if keyword := _KEYWORD.match(text, at):
        return Token(keyword[0].lower(), at, keyword.end())
    if text[at] == '"':
        value, end = _quoted(text, at)
    else:
        word = _WORD.match(text, at)
        assert word is not None
        value, end = word[0], word.end()
    return Token("term", at, end, ("(has(r.question, ?) OR has(r.answer, ?))", [value, value]))


def _field_term(text: str, at: int, found: re.Match[str]) -> Token:
    name, operator, start = found[1].lower(), found[2], found.end()
    field = FIELDS.get(name)
    if field is None:
        near = difflib.get_close_matches(name, FIELDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(FIELDS)};"
        raise FilterError(
            f"There is no field {found[1][:40]!r} (character {at + 1}); {hint} To look for these words, put them into "
            "quotes.",
            at,
            at + len(found[1]),
        )
    if text.startswith('"', start):
        value, end, is_quoted = *_quoted(text, start), True
    elif bare := _VALUE.match(text, start):
        value, end, is_quoted = bare[0], bare.end(), False
    else:
        raise FilterError(
            f"{name}{operator} at character {at + 1} has no value; write one behind it, in quotes if it has spaces.",
            at,
            start,
        )
    try:
        sql = compare(field, operator, value, is_quoted=is_quoted)
    except ValueError as error:
        raise FilterError(f"{_capital(str(error))} (character {at + 1}).", at, end) from None
    return Token("term", at, end, sql, is_step=field.of == "step")


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:] if not sentence.startswith(tuple(FIELDS)) else sentence


def _quoted(text: str, at: int) -> tuple[str, int]:
    found = _QUOTED.match(text, at)
    if found is None:
        raise FilterError(f"The quote at character {at + 1} is not closed; end it with another.", at, len(text))
    return re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL), found.end()


class _Reader:
    """Reads tokens from the left, by recursive descent."""

    def __init__(self, tokens: Sequence[Token], length: int) -> None:
        self._tokens, self._place, self._length = tokens, 0, length

    @property
    def here(self) -> Token | None:
        """The token that is next."""
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def alternatives(self, depth: int) -> _Node:
        """Some, with `or` between them."""
        if depth > DEEPEST:
            at = self.here.at if self.here else self._length
            raise FilterError(f"The parentheses are more than {DEEPEST} deep (character {at + 1}); use fewer.", at, at)
        nodes = [self._all(depth)]
        while self.here is not None and self.here.kind == "or":
            self._place += 1
            nodes.append(self._all(depth))
        if len(nodes) == 1:
            return nodes[0]
        steps = [one.step_sql for one in nodes if one.step_sql is not None]
        return _Node(
            _joined(" OR ", [one.sql for one in nodes]), _joined(" OR ", steps) if len(steps) == len(nodes) else None
        )

    def _all(self, depth: int) -> _Node:
        """Some beside each other: what speaks of steps speaks of one."""
        nodes = [self._one(depth)]
        while self.here is not None and self.here.kind not in ("or", ")"):
            if self.here.kind == "and":
                self._place += 1
            nodes.append(self._one(depth))
        if len(nodes) == 1:
            return nodes[0]
        steps = [one.step_sql for one in nodes if one.step_sql is not None]
        parts = [one.sql for one in nodes if one.step_sql is None]
        return _Node(_joined(" AND ", [*parts, _some_action(_joined(" AND ", steps))] if steps else parts))

    def _one(self, depth: int) -> _Node:
        token = self.here
        if token is None or token.kind in (")", "or", "and"):
            at = self._length if token is None else token.at
            what = "the end" if token is None else f"{token.kind}"
            raise FilterError(
                f"Something is missing before {what} (character {at + 1}); write a word, FIELD=VALUE, or ( … ).",
                max(0, at - 1) if token is None else at,
                at if token is None else token.end,
            )
        self._place += 1
        if token.kind == "not":
            if depth > DEEPEST:
                raise FilterError(
                    f"There are more than {DEEPEST} nots (character {token.at + 1}).", token.at, token.end
                )
            sql, values = self._one(depth + 1).sql
            return _Node((f"(NOT {sql})", values))
        if token.kind == "term":
            return _Node(_some_action(token.sql), token.sql) if token.is_step else _Node(token.sql)
        is_one_term = len(self._tokens) > self._place + 1 and self._tokens[self._place + 1].kind == ")"
        node = self.alternatives(depth + 1)
        if self.here is None:
            raise FilterError(f"The ( at character {token.at + 1} is not closed; end it with ).", token.at, token.end)
        self._place += 1
        return _Node(node.sql) if is_one_term else node


def _joined(word: str, parts: Sequence[SQL]) -> SQL:
    if len(parts) == 1:
        return parts[0]
    return f"({word.join(sql for sql, _ in parts)})", [value for _, values in parts for value in values]


def _some_action(condition: SQL) -> SQL:
    return f"(r.id IN (SELECT a.run FROM acts a WHERE {condition[0]}))", condition[1]
