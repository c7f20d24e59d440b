"""The metrics of SQuAD, against values that were worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.evaluation.metrics import contains, exact_match, f1, normalize_answer

_texts = st.text(alphabet="aAnthe the.,!-’ \n12é", max_size=30)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Beatles!", "beatles"),
        ("a 1,234-5 an", "12345"),
        ("Theatre\tan sich", "theatre sich"),
        ("", ""),
        ("The", ""),
        ("L’Été", "l’été"),
    ],
)
def test_normalising_drops_case_ascii_punctuation_articles_and_spaces(text, normal):
    assert normalize_answer(text) == normal


@given(_texts)
def test_normalising_twice_changes_nothing_more_than_articles_that_punctuation_hid(text):
    once = normalize_answer(text)
    assert normalize_answer(once) == once
    assert once == " ".join(once.split())


def test_exact_match_is_of_any_answer():
    assert exact_match("the Danube.", ["Rhine", "Danube"]) == 1.0
    assert exact_match("Danube river", ["Rhine", "Danube"]) == 0.0
    assert exact_match("Danube", []) == 0.0


def test_f1_is_the_harmonic_mean_over_words_with_their_counts_for_the_best_answer():
    assert f1("the big river", "river Danube") == pytest.approx(2 * 1 / (2 + 2))
    assert f1("to be to be", ["or", "to to be"]) == pytest.approx(2 * 3 / (4 + 3))
    assert f1("nothing", "shared here") == 0.0
    assert f1("", "x") == f1("x", []) == 0.0


@pytest.mark.parametrize(("said", "right"), [("no", "no idea"), ("yes it is", "yes"), ("noanswer", "noanswer at all")])
def test_yes_and_no_are_the_whole_answer_or_none_of_it(said, right):
    assert f1(said, right) == 0.0
    assert f1(said, said) == 1.0


@given(_texts, _texts)
def test_an_exact_match_has_f1_of_1_and_f1_is_symmetric_and_between_0_and_1(one, other):
    score = f1(one, other)
    assert 0 <= score <= 1
    assert score == f1(other, one)
    assert exact_match(one, other) <= score


def test_containment_is_of_whole_words_in_order():
    assert contains("He was born in the Ulm, 1879", "Ulm 1879")
    assert not contains("born in 1923", "2")
    assert not contains("1879 Ulm", "Ulm 1879")
    assert contains("x", ["y", "X!"])
    assert not contains("anything", ["the", ""])
