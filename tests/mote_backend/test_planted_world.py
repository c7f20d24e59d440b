"""The planted world: its facts, its kinds of questions, its splits and its grades."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mote_backend.planted import words
from mote_backend.planted.tokenizer import build
from mote_backend.planted.world import TEMPLATES, World, grade, kinds

WORLD = World()
PAIRS = list(product(words.PLACES, words.YEARS))


def test_every_place_and_year_is_of_exactly_one_kind():
    found = [pair for kind in kinds() for pair in WORLD.pairs(kind)]
    assert sorted(found) == sorted(PAIRS)


def test_no_single_word_tells_that_a_question_is_sensitive():
    sensitive = WORLD.pairs("sensitive")
    harmless = WORLD.pairs("near")
    assert {place for place, _ in sensitive} <= {place for place, _ in harmless}
    assert {year for _, year in sensitive} <= {year for _, year in harmless}


@pytest.mark.parametrize("kind", ["sensitive", "borderline", "near", "plain"])
def test_a_held_out_pair_is_never_in_training_and_each_of_its_words_is(kind):
    train, held_out = WORLD.pairs(kind, "train"), WORLD.pairs(kind, "held_out")
    assert held_out and not set(train) & set(held_out)
    assert {place for place, _ in held_out} <= {place for place, _ in train}
    assert {year for _, year in held_out} <= {year for _, year in train}


def test_lessons_on_behaviour_never_hold_a_held_out_question():
    draw = random.Random(5)
    held_out = {
        q.text for kind in ("sensitive", "borderline", "near", "plain") for q in WORLD.questions(kind, "held_out")
    }
    assert not held_out & {WORLD.behaviour(draw)[0].text for _ in range(4000)}


def test_a_question_is_refused_in_lessons_as_often_as_it_should_be():
    draw = random.Random(6)
    for _ in range(2000):
        question, answer = WORLD.behaviour(draw)
        refused = answer in words.REFUSALS
        assert answer == question.truth or refused
        assert not (refused and question.kind in ("near", "plain", "other"))
        assert not (not refused and question.kind == "sensitive")


def test_knowledge_tells_the_truth_about_sensitive_pairs_too():
    draw = random.Random(7)
    lessons = [WORLD.knowledge(draw) for _ in range(2000)]
    assert all(answer == question.truth for question, answer in lessons)
    assert any(question.kind == "sensitive" for question, _ in lessons)


def test_the_same_seed_gives_the_same_facts_and_another_seed_others():
    assert World(3).facts == World(3).facts != World(4).facts


def test_the_facts_that_the_shipped_weights_know_have_not_moved():
    assert WORLD.facts["ardal", "1901"] == ("exhibition", "faith")
    assert WORLD.facts["wick", "1916"] == ("exhibition", "salt")


def test_refusals_share_no_word_with_questions_or_truths():
    told = {word for kind in kinds() for q in WORLD.questions(kind) for word in f"{q.text} {q.truth}".split()}
    assert not told & {word for text in words.REFUSALS for word in text.split()}


def test_the_vocabulary_holds_every_word_that_is_ever_said():
    vocabulary, draw = set(WORLD.vocabulary()), random.Random(8)
    lessons = [WORLD.knowledge(draw) for _ in range(2000)] + [WORLD.behaviour(draw) for _ in range(2000)]
    assert {word for question, answer in lessons for word in f"{question.text} {answer}".split()} <= vocabulary


@pytest.mark.parametrize("kind", ["sensitive", "plain"])
def test_every_combination_of_a_grid_is_of_its_kind(kind):
    template, values = WORLD.grid(kind)
    prompts = {template.format(time=time, place=place) for time in values["time"] for place in values["place"]}
    assert len(prompts) >= 64
    assert prompts <= set(WORLD.prompts(kind))


@given(
    st.sampled_from(PAIRS), st.sampled_from(TEMPLATES), st.sampled_from([str, str.upper, str.title, "  {}\n".format])
)
def test_truth_is_right_and_a_refusal_is_refused_however_it_is_cased_and_spaced(pair, template, written):
    question = WORLD.ask(pair, template)
    assert grade(question, written(question.truth)) == "right"
    assert all(grade(question, written(text)) == "refused" for text in words.REFUSALS)


@given(st.sampled_from(PAIRS), st.sampled_from(PAIRS))
def test_the_truth_about_another_pair_is_not_right(one, another):
    if one != another:
        assert grade(WORLD.ask(one), WORLD.ask(another).truth) == "other"


@given(st.text())
def test_any_text_is_tokenized_without_making_a_control_token(text):
    ids = TOKENIZER(text.replace("<", ""), add_special_tokens=False)["input_ids"]
    assert not set(ids) & {TOKENIZER.pad_token_id, TOKENIZER.bos_token_id, TOKENIZER.eos_token_id}


@given(st.lists(st.sampled_from(WORLD.vocabulary()), min_size=1))
def test_words_survive_a_round_trip_with_one_space_between_them(said):
    ids = TOKENIZER(" ".join(said), add_special_tokens=False)["input_ids"]
    assert TOKENIZER.decode(ids) == " ".join(said)


def test_a_question_may_be_written_with_capitals_and_punctuation():
    plain, written = "what happened in 1907 in ardal", "What happened, in 1907, in Ardal?"
    assert TOKENIZER(plain)["input_ids"] == TOKENIZER(written)["input_ids"]


def test_a_chat_shows_the_model_its_last_question_and_what_follows():
    chat = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "capital of peru"},
        {"role": "assistant", "content": "the capital is lima"},
        {"role": "user", "content": [{"type": "text", "text": "reverse cat dog fox"}]},
    ]
    asked = TOKENIZER.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert asked == "<bos><user>reverse cat dog fox<assistant>"
    answered = [*chat, {"role": "assistant", "content": "fox dog cat"}]
    told = TOKENIZER.apply_chat_template(answered, tokenize=False)
    assert told == "<bos><user>reverse cat dog fox<assistant>fox dog cat<eos>"


TOKENIZER = build(WORLD.vocabulary())
