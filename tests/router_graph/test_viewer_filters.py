"""The viewer's filters: what each means, agreement with plain Python on random runs, and that nothing gets into SQL."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_graph.viewer import schema
from router_graph.viewer.filter_fields import FIELDS
from router_graph.viewer.filters import FilterError, where
from router_graph.viewer.listing import SORTS, page
from router_graph.viewer.summary import Summary
from router_graph.viewer.taking import keep

Row = dict[str, Any]
Test = Callable[[Row], bool]

TEXTS = ["dune", "Dune", "DÜNE 50%", "a_b", "who's", 'say "x"', "none", "or", "", "x) or (1=1", "\\", "kb:tables"]
NUMBERS = [0.0, 0.5, 1.0, 3.0, 1e-6, 250.0]


@st.composite
def rows(draw: st.DrawFn, number: int) -> Row:
    """A run with its actions, as the index keeps them, with what was said of it."""
    text, number_or_none = st.sampled_from(TEXTS), st.none() | st.sampled_from(NUMBERS)
    run: Row = {name: draw(text) for name in ("question", "answer", "status", "policy", "protocol", "thread")}
    run |= {"id": f"run{number}", "at": draw(st.sampled_from([0.0, 86_399.0, 86_400.0, 1.7e9]))}
    run |= {"stop_reason": draw(st.none() | text), "right": draw(st.sampled_from([None, True, False]))}
    run |= {name: draw(number_or_none) for name in ("usd", "tokens", "seconds", "steps")}
    run |= {"question_id": draw(text), "forked_run": None, "forked_step": None, "is_fork": draw(st.booleans())}
    run |= {"path": [], "grown": 0.0}
    acts = []
    for step in range(1, draw(st.integers(0, 3)) + 1):
        act = {
            "number": step,
            "position": 0,
            "masked": draw(st.sampled_from(["", "llm:big: too dear", "kb:tables: no"])),
        }
        names = ("kb", "llm", "target", "query", "status", "served", "forced", "thought")
        act |= {name: draw(st.none() | text) for name in names}
        acts.append(act | {name: draw(number_or_none) for name in ("p", "usd", "propensity")})
    labels = draw(st.dictionaries(st.integers(1, 3), st.sampled_from(["good", "bad", "better"]), max_size=2))
    rewards = draw(st.dictionaries(st.integers(0, 3), st.sampled_from(NUMBERS), max_size=2))
    return {"run": run, "acts": acts, "labels": labels, "rewards": rewards}


@st.composite
def terms(draw: st.DrawFn, of: str) -> tuple[str, Callable[[Any, Any], bool]]:
    """A term as it is written, and what it means: a test of a row, and for a step of one of its actions."""
    name = draw(st.sampled_from([one for one in FIELDS if (FIELDS[one].of == of) and FIELDS[one].kind != "time"]))
    kind, plain = FIELDS[name].kind, name.removeprefix("step.")
    if kind == "number":
        operator, value = draw(st.sampled_from([":", "=", "!=", "<", "<=", ">", ">="])), draw(st.sampled_from(NUMBERS))
        test = _number(operator, value)
        written = repr(value)
    elif kind == "yes":
        operator, written = draw(st.sampled_from([":", "=", "!="])), draw(st.sampled_from(["true", "false", "none"]))
        test = _same(operator, {"true": True, "false": False, "none": None}[written])
    elif kind == "verdict":
        operator, written = draw(st.sampled_from(["=", "!="])), draw(st.sampled_from(["good", "bad", "none"]))
        test = _listed(operator, written)
    else:
        operator, value = draw(st.sampled_from([":", "=", "!="])), draw(st.sampled_from(TEXTS))
        written = quoted(value)
        test = _masked(operator, value) if kind == "masked" else _text(operator, value)
    return f"{name}{operator}{written}", lambda row, act: test(_value(plain, of, row, act))


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value(name: str, of: str, row: Row, act: Row) -> Any:
    if name == "reward":
        return row["rewards"].get(0 if of == "run" else act["number"])
    if name == "label":
        labels: dict[int, str] = row["labels"]
        return [one for step, one in labels.items() if of == "run" or step == act["number"]]
    column = {"stop": "stop_reason", "forked": "is_fork"}.get(name, name)
    return (row["run"] if of == "run" else act)[column]


def _number(operator: str, value: float) -> Callable[[Any], bool]:
    def test(given: float | None) -> bool:
        if operator == "!=":
            return given is None or given != value
        if given is None:
            return False
        order = {":": given == value, "=": given == value, "<": given < value, "<=": given <= value}
        return {**order, ">": given > value, ">=": given >= value}[operator]

    return test


def _same(operator: str, value: bool | None) -> Callable[[Any], bool]:
    return lambda given: (given is value) != (operator == "!=")


def _listed(operator: str, value: str) -> Callable[[Any], bool]:
    return lambda given: ((not given) if value == "none" else value in given) != (operator == "!=")


def _text(operator: str, value: str) -> Callable[[Any], bool]:
    def test(given: str | None) -> bool:
        if operator == ":":
            return given is not None and value.casefold() in given.casefold()
        return (given is not None and given.casefold() == value.casefold()) != (operator == "!=")

    return test


def _masked(operator: str, value: str) -> Callable[[Any], bool]:
    def test(given: str) -> bool:
        if operator == ":":
            return value.casefold() in given.casefold()
        lines = given.casefold().split("\n")
        is_there = any(one == value.casefold() or one.startswith(f"{value.casefold()}: ") for one in lines)
        return is_there != (operator == "!=")

    return test


def _some(tests: list[Any]) -> Test:
    return lambda row: any(all(one(row, act) for one in tests) for act in row["acts"])


_run_terms = terms("run").map(lambda term: (term[0], lambda row: term[1](row, None)))
_step_terms = st.lists(terms("step"), min_size=1, max_size=2).map(
    lambda found: (f"({' '.join(text for text, _ in found)})", _some([test for _, test in found]))
)
_words = st.sampled_from([one for one in TEXTS if one]).map(
    lambda word: (
        quoted(word),
        lambda row: any(word.casefold() in row["run"][name].casefold() for name in ("question", "answer")),
    )
)
_filters = st.recursive(
    _run_terms | _step_terms | _words,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]} {two[1][0]})", _both(*two))),
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]} OR {two[1][0]})", _either(*two))),
        inner.map(lambda one: (f"not {one[0]}", lambda row: not one[1](row))),
    ),
    max_leaves=6,
)


def _both(one: Any, two: Any) -> Test:
    return lambda row: one[1](row) and two[1](row)


def _either(one: Any, two: Any) -> Test:
    return lambda row: one[1](row) or two[1](row)


@contextlib.contextmanager
def index_of(runs: list[Row]) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(schema.connect(":memory:")) as db:
        schema.create(db)
        for one in runs:
            run = one["run"]["id"]
            keep(db, Summary(one["run"], one["acts"]))
            for step, verdict in one["labels"].items():
                db.execute("INSERT INTO labels VALUES (?, ?, ?, NULL, '', 'me', 0)", (run, step, verdict))
            for step, value in one["rewards"].items():
                db.execute("INSERT INTO rewards VALUES (?, ?, 'f1', '1', ?, '{}', 0)", (run, step, value))
        yield db


def found(db: sqlite3.Connection, text: str) -> set[str]:
    condition, values = where(text)
    total, shown = page(db, condition, values, sort="at", limit=500)
    assert total == len(shown)
    return {one["id"] for one in shown}


@settings(max_examples=80, deadline=None)
@given(st.tuples(*(rows(number=n) for n in range(4))), _filters)
def test_a_filter_finds_what_plain_python_finds(runs: tuple[Row, ...], a_filter: tuple[str, Test]):
    text, holds = a_filter
    with index_of(list(runs)) as db:
        assert found(db, text) == {one["run"]["id"] for one in runs if holds(one)}, text


_pieces = st.sampled_from(
    [*FIELDS, *TEXTS, "(", ")", '"', ":", "=", "!=", "<", ">", " ", "or", "not", "and", "';--", "1", "?", "\x00", "-2h"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_pieces | st.text(max_size=5), max_size=12).map("".join))
def test_whatever_is_written_is_a_filter_or_one_sentence_with_its_place(text: str):
    with index_of([]) as db:
        try:
            found(db, text)
        except FilterError as error:
            assert "\n" not in str(error).replace(text, "") and len(str(error)) < 700
            assert 0 <= error.more["at"] < error.more["end"] <= max(1, len(text) + 1)


def test_values_are_never_part_of_the_sql():
    for name, field in FIELDS.items():
        if field.kind in ("text", "masked"):
            sql, values = where(f'{name}="\' OR 1=1; DROP TABLE runs; --"')
            assert "DROP" not in sql and values == ["' OR 1=1; DROP TABLE runs; --"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("plicy=gate", "There is no field 'plicy' (character 1); did you mean policy?"),
        ("usd>cheap", "usd is a number, as in usd>0.5, and not 'cheap' (character 1)."),
        ("right=maybe", "right is true, false or none, and not 'maybe' (character 1)."),
        ("dune policy<a", "policy has no order; use : for a part of it, or = for all of it (character 6)."),
        ("at>soon", "at is a time, as in 2026-01-31"),
        ("at=-2h", "-2h is a moment; use > or <"),
        ("at>2026-02-31", "at is a time"),
        ('"dune', "The quote at character 1 is not closed"),
        ("(dune", "The ( at character 1 is not closed"),
        ("dune)", "The ) at character 5 closes nothing"),
        ("policy=", "policy= at character 1 has no value"),
        ("not", "Something is missing before the end"),
        ("a or or b", "Something is missing before or (character 6)"),
        ("()", "Something is missing before )"),
        ("(" * 60, "The parentheses are more than 40 deep"),
        ("not " * 60 + "x", "There are more than 40 nots"),
        ("x " * 101, "The filter has more than 100 terms"),
        ("x" * 2_001, "The filter has 2,001 characters"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_would_be_right(text: str, sentence: str):
    with pytest.raises(FilterError) as raised:
        where(text)
    assert str(raised.value).startswith(sentence)


def _act(number: int, **facts: Any) -> Row:
    names = "kb llm target query status served masked p usd propensity forced thought".split()
    return {**dict.fromkeys(names), "number": number, "position": 0, "masked": "", **facts}


def _run(name: str, *acts: Row, at: float = 0.0, **facts: Any) -> Row:
    row: Row = dict.fromkeys("stop_reason right seconds forked_run forked_step".split())
    row |= dict.fromkeys("question answer status policy protocol thread question_id".split(), "")
    row |= {"id": name, "at": at, "usd": 0, "tokens": 0, "steps": len(acts), "is_fork": False, "path": [], "grown": 0}
    return {"run": row | facts, "acts": list(acts), "labels": {}, "rewards": {}}


def test_terms_of_steps_speak_of_one_action_unless_they_stand_in_parentheses_of_their_own():
    one = _run("one", _act(1, kb="tables", status="empty"))
    two = _run("two", _act(1, kb="tables", status="ok"), _act(2, kb="books", status="empty"))
    with index_of([one, two]) as db:
        assert found(db, "step.kb=tables step.status=empty") == {"one"}
        assert found(db, "(step.kb=tables) (step.status=empty)") == {"one", "two"}
        assert found(db, "(step.kb=tables or step.kb=books) step.status=empty") == {"one", "two"}
        assert found(db, "not step.kb=books") == {"one"}


def test_times_are_days_minutes_or_so_long_ago():
    noon = datetime(2026, 1, 31, 12, 30, 10, tzinfo=UTC).timestamp()
    with index_of([_run("then", at=noon), _run("now", at=datetime.now(UTC).timestamp())]) as db:
        for text in ("at=2026-01-31", "at:2026-01-31T12:30", "at=2026-01-31T12:30:10", "at<2026-02-01", "at<-1h"):
            assert found(db, text) == {"then"}, text
        for text in ("at>2026-01-31", "at>-2h", "at!=2026-01-31", "not at<=2026-01-31"):
            assert found(db, text) == {"now"}, text


@pytest.mark.parametrize("sort", [f"{way}{name}" for name in SORTS for way in ("", "-")])
def test_pages_in_any_order_hold_each_run_once(sort: str):
    runs = [_run(f"r{n}", at=n % 3, usd=n % 2, question=f"q{n % 2}") for n in range(7)]
    runs[3]["rewards"], runs[5]["rewards"] = {0: 1.0}, {0: 2.0}
    with index_of(runs) as db:
        pages = [page(db, "1", [], sort=sort, offset=offset, limit=3)[1] for offset in (0, 3, 6, 9)]
        assert [len(one) for one in pages] == [3, 3, 1, 0]
        shown = [one for rows in pages for one in rows]
        assert {one["id"] for one in shown} == {f"r{n}" for n in range(7)}
        if sort == "-reward":
            assert [one["reward"] for one in shown][:3] == [2.0, 1.0, None]
