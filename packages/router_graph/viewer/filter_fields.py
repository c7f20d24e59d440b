"""The fields that a filter can ask about, and the SQL of each comparison. All values are parameters."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from router_graph.viewer.listing import REWARD

Of = Literal["run", "step"]
Kind = Literal["text", "number", "time", "yes", "verdict", "masked"]
SQL = tuple[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Field:
    """Something that is known of a run, or of each action of its steps."""

    name: str
    of: Of
    kind: Kind
    column: str
    """Of the run `r` or the action `a`."""
    help: str


_OF_RUN: list[tuple[str, Kind, str, str]] = [
    ("id", "text", "r.id", "the run's id"),
    ("question", "text", "r.question", "what was asked"),
    ("answer", "text", "r.answer", "what came of it"),
    ("status", "text", "r.status", "ended, failed or open"),
    ("stop", "text", "r.stop_reason", "why it ended: answered, no_answer, steps, usd, tokens, seconds, repeats, …"),
    ("policy", "text", "r.policy", "who decided"),
    ("protocol", "text", "r.protocol", "how the policy was spoken to"),
    ("right", "yes", "r.right", "whether the answer is right: true, false, or none where nobody knows"),
    ("usd", "number", "r.usd", "what it cost, in USD"),
    ("tokens", "number", "r.tokens", "tokens, in and out"),
    ("seconds", "number", "r.seconds", "from its beginning to its end"),
    ("steps", "number", "r.steps", "how often the policy decided"),
    ("at", "time", "r.at", "when it began: 2026-01-31, 2026-01-31T10:00 (UTC), or -2h, -30m, -7d before now"),
    ("thread", "text", "r.thread", "the thread's id"),
    ("question_id", "text", "r.question_id", "the question's id, or the question"),
    ("label", "verdict", "SELECT verdict FROM labels l WHERE l.run = r.id", "what people said: good, bad, better"),
    ("reward", "number", REWARD, "the reward that was computed last"),
    ("forked", "yes", "r.is_fork", "whether it was forked from another run: true or false"),
]
_OF_STEP: list[tuple[str, Kind, str, str]] = [
    ("kb", "text", "a.kb", "the knowledge base that was asked"),
    ("llm", "text", "a.llm", "the model that was asked"),
    ("target", "text", "a.target", "kb:NAME, llm:NAME, answer, note or malformed"),
    ("query", "text", "a.query", "the words it was asked with"),
    ("status", "text", "a.status", "what came of it: ok, empty, failed, refused, declined, repeated"),
    ("served", "text", "a.served", "who answered: the one asked, or its fallback"),
    ("masked", "masked", "a.masked", "an option that could not be chosen (=), or its reason (:)"),
    ("p", "number", "a.p", "the probability of the option that was chosen"),
    ("usd", "number", "a.usd", "what the step cost, the policy included"),
    ("propensity", "number", "a.propensity", "the probability with which the action was drawn"),
    ("forced", "text", "a.forced", "why only an answer was legal"),
    ("thought", "text", "a.thought", "what the policy thought"),
    (
        "reward",
        "number",
        "(SELECT value FROM rewards w WHERE w.run = a.run AND w.step = a.number ORDER BY made DESC, name LIMIT 1)",
        "the step's reward that was computed last",
    ),
    (
        "label",
        "verdict",
        "SELECT verdict FROM labels l WHERE l.run = a.run AND l.step = a.number",
        "what people said of the step: good, bad, better",
    ),
]
FIELDS: dict[str, Field] = {
    **{name: Field(name, "run", kind, column, told) for name, kind, column, told in _OF_RUN},
    **{f"step.{name}": Field(f"step.{name}", "step", kind, column, told) for name, kind, column, told in _OF_STEP},
}

_YES = {"true": 1, "yes": 1, "right": 1, "false": 0, "no": 0, "wrong": 0}
_AGO = re.compile(r"-(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T_](\d\d):(\d\d)(?::(\d\d))?)?Z?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


def compare(field: Field, operator: str, value: str, *, is_quoted: bool, now: Callable[[], float] = time.time) -> SQL:
    """The comparison as SQL that is 0 or 1. Raises `ValueError` with what would be right."""
    if operator == "!=":
        sql, values = compare(field, "=", value, is_quoted=is_quoted, now=now)
        return f"(NOT {sql})", values
    is_none = value.casefold() == "none" and not is_quoted
    if operator in ("<", "<=", ">", ">=") and field.kind not in ("number", "time"):
        allowed = "= or !=" if field.kind in ("yes", "verdict") else ": for a part of it, or = for all of it"
        raise ValueError(f"{field.name} has no order; use {allowed}")
    match field.kind:
        case "text" | "masked":
            if is_none and operator == "=":
                return f"(coalesce({field.column}, '') = '')", []
            if operator == ":":
                return f"has({field.column}, ?)", [value]
            return f"{'lists' if field.kind == 'masked' else 'same'}({field.column}, ?)", [value]
        case "verdict":
            if is_none:
                return f"(NOT EXISTS ({field.column}))", []
            return f"EXISTS ({field.column} AND verdict = ?)", [value.casefold()]
        case "yes":
            return _yes(field, value, is_none)
        case "number":
            return _number(field, operator, value, is_none)
        case "time":
            return _time(field, operator, value, now())


def _yes(field: Field, value: str, is_none: bool) -> SQL:
    if is_none:
        return f"({field.column} IS NULL)", []
    if value.casefold() not in _YES:
        raise ValueError(f"{field.name} is true, false or none, and not {value[:40]!r}")
    return f"({field.column} IS ?)", [_YES[value.casefold()]]


def _number(field: Field, operator: str, value: str, is_none: bool) -> SQL:
    if is_none and operator in (":", "="):
        return f"({field.column} IS NULL)", []
    if not value.isascii() or not _NUMBER.fullmatch(value) or not math.isfinite(float(value)):
        raise ValueError(f"{field.name} is a number, as in {field.name}>0.5, and not {value[:40]!r}")
    sign = "=" if operator == ":" else operator
    return f"coalesce({field.column} {sign} ?, 0)", [float(value)]


def _time(field: Field, operator: str, value: str, now: float) -> SQL:
    start, end = _span(field, operator, value, now)
    column = field.column
    match operator:
        case ":" | "=":
            return f"({column} >= ? AND {column} < ?)", [start, end]
        case "<":
            return f"({column} < ?)", [start]
        case "<=":
            return f"({column} < ?)" if end > start else f"({column} <= ?)", [end]
        case ">":
            return f"({column} >= ?)" if end > start else f"({column} > ?)", [end]
        case _:
            return f"({column} >= ?)", [start]


def _span(field: Field, operator: str, value: str, now: float) -> tuple[float, float]:
    """From when to when a time is: a day, a minute, a second; of "-2h", one moment."""
    if value.isascii() and (ago := _AGO.fullmatch(value)):
        if operator in (":", "="):
            raise ValueError(f"{value} is a moment; use > or <, as in {field.name}>{value}")
        moment = now - int(ago[1]) * _SECONDS[ago[2]]
        return moment, moment
    found = _DATE.fullmatch(value) if value.isascii() else None
    if found is not None:
        year, month, day, hour, minute, second = (int(one or 0) for one in found.groups())
        with contextlib.suppress(ValueError):  # the 31st of February
            start = datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
            return start, start + (1 if found[6] else 60 if found[4] else 86400)
    raise ValueError(
        f"{field.name} is a time, as in 2026-01-31, 2026-01-31T10:00 or -2h (two hours ago), and not {value[:40]!r}"
    )
