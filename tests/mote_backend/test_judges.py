import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mote_backend.errors import InputError
from mote_backend.judging.judges import (
    AnswerJudge,
    FormatJudge,
    FunctionJudge,
    Judge,
    LengthJudge,
    RegexJudge,
    as_judge,
    judge_all,
)
from mote_backend.judging.languages import LanguageJudge
from mote_backend.judging.refusals import RefusalJudge
from mote_backend.judging.reply_text import spoken

FORMATS = ("json", "bullets", "code", "table")
ALL = [
    LengthJudge(), *(FormatJudge(one) for one in FORMATS), RegexJudge("a+"), AnswerJudge({"q": "a"}), RefusalJudge(),
    LanguageJudge("en"), FunctionJudge(lambda prompt, reply: True),
]  # fmt: skip


@given(st.text(), st.text())
def test_every_judge_gives_a_score_or_none_whatever_the_reply(prompt, reply):
    for judge in ALL:
        score = judge(prompt, reply)
        assert score is None or 0 <= score <= 1


def test_every_judge_is_one_and_has_a_fingerprint_of_its_rules():
    prints = [judge.fingerprint for judge in ALL]
    assert all(isinstance(judge, Judge) and re.fullmatch("[0-9a-f]{12}", judge.fingerprint) for judge in ALL)
    assert len(set(prints)) == len(prints)
    assert RefusalJudge().fingerprint == RefusalJudge().fingerprint != RefusalJudge(["English"]).fingerprint
    assert LengthJudge(10).fingerprint != LengthJudge(20).fingerprint


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("", 0),
        ("one, two — three!", 3),
        ("it's a well-known fact", 4),
        ("法国的首都", 5),
        ("<think>a b c</think> d", 1),
    ],
)
def test_length_counts_words_that_are_spoken(reply, words):
    assert LengthJudge.words(reply) == words
    assert LengthJudge(10)("", reply) == words / 10


@pytest.mark.parametrize(
    ("format_", "reply", "score"),
    [
        ("json", '{"a": 1}', 1),
        ("json", '```json\n[1, 2]\n```', 1),
        ("json", '"text"', 0),
        ("json", "{a: 1}", 0),
        ("json", "[" * 100_000, 0),
        ("bullets", "- a\n- b\n", 1),
        ("bullets", "Here:\n\n1. a\n2. b\n3. c", 0.75),
        ("bullets", "- only one", 0),
        ("bullets", "-5 is a number\n-6 too", 0),
        ("code", "So:\n```python\nx = 1\n```", 1),
        ("code", "`x = 1`", 0),
        ("table", "| a | b |\n|---|--:|\n| 1 | 2 |", 1),
        ("table", "a | b", 0),
    ],
)  # fmt: skip
def test_a_format_is_recognised(format_, reply, score):
    assert FormatJudge(format_)("", reply) == score


def test_the_known_answer_is_right_in_other_case_and_spacing():
    judge = AnswerJudge({"capital of France?": "Paris"})
    assert [judge("capital of France?", one) for one in ("paris.", " **Paris** ", "Lyon", "It is Paris")] == [
        1,
        1,
        0,
        0,
    ]
    inside = AnswerJudge({"q": "Paris"}, contained=True)
    assert [inside("q", one) for one in ("It is Paris.", "Parisians")] == [1, 0]
    assert judge("another question", "Paris") is None


def test_what_was_thought_before_the_reply_is_not_judged():
    assert spoken("<think>I cannot help</think>\n\nSure.") == "Sure."
    assert spoken("I cannot help</think>Sure.") == "Sure."
    assert spoken("<think>it never ends") == ""
    assert RegexJudge("secret")("", "<think>secret</think>open") == 0


def test_a_function_is_a_judge_and_its_scores_are_checked():
    judge = as_judge(lambda prompt, reply: len(reply) > 3, "long")
    assert judge.name == "long"
    assert judge_all(judge, [("", "abcd"), ("", "a")]) == [1.0, 0.0]
    assert as_judge(judge) is judge
    with pytest.raises(InputError, match="gave 7; a score is a number from 0 to 1"):
        judge_all(as_judge(lambda prompt, reply: 7), [("", "")])
    with pytest.raises(InputError, match="gave nan"):
        as_judge(lambda prompt, reply: float("nan"))("", "")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RegexJudge("("), "cannot be read"),
        (lambda: FormatJudge("xml"), "it can be 'json', 'bullets'"),
        (lambda: LengthJudge(0), "a number of words from 1"),
        (lambda: LanguageJudge("klingon"), "it can be en, de, fr"),
        (lambda: RefusalJudge(["Klingon"]), "there are some in English"),
        (lambda: as_judge(3), "is no judge"),
    ],
)
def test_a_judge_that_cannot_be_made_says_why_in_one_sentence(make, words):
    with pytest.raises(InputError, match=words) as error:
        make()
    assert "\n" not in str(error.value)
