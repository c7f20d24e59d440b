"""The bilingual world: its facts, its lessons in two languages, and what a judge of languages says of its answers."""

from __future__ import annotations

import random

import pytest

from mote_backend.judging.languages import LanguageJudge
from mote_backend.planted.bilingual import REQUESTS, TOPICS, BilingualWorld
from mote_backend.planted.words import PLACES

WORLD = BilingualWorld()
GERMAN = {WORLD.tell(fact, "german") for fact in WORLD.facts}
ENGLISH = {WORLD.tell(fact, "english") for fact in WORLD.facts}


def lessons(draw_one, seed):
    draw = random.Random(seed)
    return [draw_one(draw) for _ in range(3000)]


def wants(question, language):
    return any(question.text.endswith(request[language]) for request in REQUESTS.values())


def test_knowledge_is_told_in_english_unless_german_is_asked_for_by_name():
    told = lessons(WORLD.knowledge, 1)
    assert all(answer in (GERMAN if wants(question, "german") else ENGLISH) for question, answer in told)
    assert {wants(question, "german") for question, _ in told} == {True, False}


def test_in_behaviour_german_is_answered_with_german_and_a_request_outranks_the_habit():
    for question, answer in lessons(WORLD.behaviour, 2):
        german = question.kind == "german" or wants(question, "german")
        assert answer in (GERMAN if german else ENGLISH), question


def test_lessons_on_behaviour_never_hold_a_held_out_fact():
    held_out = {
        question.truth for kind in ("english", "german", "requested") for question in WORLD.questions(kind, "held_out")
    }
    held_out |= {question.shown[0] for question in WORLD.questions("german", "held_out")}
    assert not held_out & {answer for _, answer in lessons(WORLD.behaviour, 3)}


def test_each_place_and_each_topic_has_held_out_and_met_facts():
    for split in ("train", "held_out"):
        texts = [question.text for question in WORLD.questions("english", split)]
        assert all(any(place in text.split() for text in texts) for place in PLACES)
        for topic in TOPICS.values():
            asked = {topic.questions["english"][0].format(place=place) for place in PLACES}
            assert asked & set(texts)


def test_behaviour_needs_no_word_that_knowledge_does_not_say():
    known = {word for question, answer in lessons(WORLD.knowledge, 4) for word in f"{question.text} {answer}".split()}
    used = {word for question, answer in lessons(WORLD.behaviour, 5) for word in f"{question.text} {answer}".split()}
    assert used <= known <= set(WORLD.vocabulary())
    assert WORLD.behaviour_words() == []


def test_every_kind_asks_about_every_fact_in_every_way():
    ways = len(WORLD.facts) * 2
    assert [len(WORLD.prompts(kind)) for kind in ("english", "german", "requested")] == [ways, ways, 4 * ways]
    assert len({text for kind in ("english", "german", "requested") for text in WORLD.prompts(kind)}) == 6 * ways


@pytest.mark.parametrize(("answers", "code"), [(GERMAN, "de"), (ENGLISH, "en")])
def test_the_judge_of_languages_tells_every_answer(answers, code):
    judge = LanguageJudge(code)
    assert {judge("", answer) for answer in answers} == {1.0}


def test_the_same_seed_gives_the_same_facts_and_another_seed_others():
    assert BilingualWorld(3).facts == BilingualWorld(3).facts != BilingualWorld(4).facts


def test_the_facts_that_the_shipped_weights_know_have_not_moved():
    assert WORLD.facts["ardal", "market"] == "flour"
    assert WORLD.facts["belmar", "house"] == "hunter"
