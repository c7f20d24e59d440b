"""The reward of a step pays for what it really found, and for stopping when it was time; of what came later it knows
nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router_graph.actions import Answer, Note, RouteToKB
from router_graph.evaluation.gold import Gold
from router_graph.trajectories.views import view_at
from router_training.errors import ConfigError, DataError
from router_training.rewards.costs import CostNormaliser, Pricing
from router_training.rewards.gold import Questions
from router_training.rewards.r1_router import NOBODY, R1Router, Taught, Teacher, answer_score, recall
from router_training.rewards.similarity import by_embedding, by_words
from router_training.rewards.utility import Closing, Containment, Recorded
from router_training.rewards.verifiable import Verifiable, Weights
from support.routed_runs import FILM, GOOD, PERSON, QUESTION, RIGHT, WRONG, does, run_of

SCALE = CostNormaliser(0.0, 0.1)
GOLD = Questions().of(run_of(GOOD))
REWARD = Verifiable(SCALE)


def parts(run, reward=REWARD, gold=GOLD):
    return {score.number: dict(score.parts) for score in reward.score(run, gold)}


def test_each_needed_document_is_paid_once_where_it_was_first_found():
    found = parts(run_of(does(FILM, PERSON, RouteToKB("films", "Harbour"), RIGHT)))
    assert [found[n]["documents"] for n in (1, 2, 3)] == [0.5, 0.5, 0.0]
    assert [found[n]["repetition"] for n in (1, 2, 3)] == [0.0, 0.0, -1.0]  # other words, the same document
    assert "documents" not in found[4] and found[4]["stop"] == 1.0 == found[4]["answer"]


def test_a_document_counts_by_its_own_name_or_with_its_knowledge_bases():
    gold = Gold(("x",), (frozenset({"people:harbour"}), frozenset({"harbour"}), frozenset({"films:harbour"})))
    assert parts(run_of(GOOD), gold=gold)[1]["documents"] == pytest.approx(2 / 3)


def test_to_stop_before_all_was_found_is_not_the_right_stop():
    early = parts(run_of(does(FILM, RIGHT)))
    assert early[2]["stop"] == 0.0 and early[2]["answer"] == 1.0
    wrong = parts(run_of(does(WRONG)))
    assert wrong[1] == {"cost": 0.0, "answer": -1.0, "stop": 0.0}


def test_where_no_document_is_needed_it_is_right_to_answer_at_once_and_each_search_costs():
    gold, unknown = Gold(("Bo Chen",), ()), Gold(("Bo Chen",))
    at_once, looked = parts(run_of(does(RIGHT)), gold=gold), parts(run_of(does(FILM, PERSON, RIGHT)), gold=gold)
    assert at_once[1]["stop"] == 1.0 and looked[3]["stop"] == 0.0
    assert [looked[n]["repetition"] for n in (1, 2)] == [-1.0, -1.0]
    assert [looked[n].get("documents") for n in (1, 2)] == [None, None]
    ends = [sum(one.total for one in REWARD.score(run_of(does(*way)), gold)) for way in ([RIGHT], [PERSON, RIGHT])]
    assert ends[0] > ends[1] > REWARD.of_step(run_of(does(WRONG)), 1, gold).total
    asked = [one.number for one in REWARD.score(run_of(does(FILM, RIGHT)), unknown)]  # nobody knows: no part says
    assert asked == [1, 2] and "stop" not in parts(run_of(does(FILM, RIGHT)), gold=unknown)[2]


def test_a_dear_search_that_finds_the_same_is_worth_less():
    cheap, dear = (sum(s.total for s in REWARD.score(run_of(does(*a, RIGHT)), GOLD)) for a in ([PERSON], [FILM]))
    assert dear < cheap


def test_a_step_is_judged_by_what_came_before_it_and_of_it_alone():
    run = run_of(GOOD)
    for number in (1, 2, 3):
        cut = replace(run, steps=run.steps[:number], answer="", status="open")
        assert REWARD.of_step(cut, number, GOLD) == REWARD.of_step(run, number, GOLD)


def test_a_reply_that_is_no_action_is_worth_less_than_any_search():
    run = run_of(["Hm.", *does(FILM, RIGHT)[1:]])
    assert REWARD.of_step(run, 1, GOLD).total == -1.0
    dearest = Weights().cost + Weights().repetition
    assert dearest < 1.0
    many = run_of(does(FILM, [RouteToKB("films", f"Ann Lee {word}") for word in "abcdefgh"], RIGHT))
    assert REWARD.of_step(many, 2, GOLD).parts["repetition"] == -8.0
    assert REWARD.of_step(many, 2, GOLD).total == -1.0


def test_a_step_whose_routes_are_not_all_back_has_no_score():
    run = run_of(GOOD)
    first = run.steps[0]
    open_run = replace(run, steps=(replace(first, step={**first.step, "observations": {}}), *run.steps[1:]))
    assert [one.number for one in REWARD.score(open_run, GOLD)] == [2, 3]


@pytest.mark.parametrize("value", [Closing(), Containment()])
def test_the_gains_of_a_run_add_up_to_what_its_answer_is_worth_over_answering_at_once(value):
    reward = Verifiable(SCALE, weights=Weights(utility=1.0), value=value)
    run = run_of(GOOD)
    gains = [one["utility"] for one in parts(run, reward).values()]
    assert sum(gains) == pytest.approx(1.0 - value(view_at(run, 1), GOLD))
    assert gains[0] > 0 if value.name.startswith("containment") else gains[-1] > -1


def test_a_haystack_with_the_needle_is_worth_less_than_the_needle():
    view, most = view_at(run_of(GOOD), 3), Containment(most=1)
    assert Containment()(view, GOLD) == 1.0 and most(view, GOLD) == 1.0 / len(view.evidence)
    assert Containment()(view, Gold(("yes",))) == 0.0
    assert Containment()(view_at(run_of(GOOD), 1), GOLD) == 0.0


def test_recorded_values_are_looked_up_by_state():
    value = Recorded("judged", {"0": 0.25, "1": 0.75}, lambda view: str(len(view.steps)))
    reward = Verifiable(SCALE, weights=Weights(utility=1.0), value=value)
    assert parts(run_of(does(FILM, RIGHT)), reward)[1]["utility"] == 0.5
    with pytest.raises(KeyError):
        value(view_at(run_of(GOOD), 3), GOLD)


def test_weights_under_which_giving_up_would_pay_are_refused():
    with pytest.raises(ConfigError, match="the policy would learn to give up"):
        Weights(cost=0.8, repetition=0.5)
    with pytest.raises(ConfigError, match="give both, or neither"):
        Verifiable(SCALE, weights=Weights(utility=1.0))
    with pytest.raises(ConfigError, match="'cost' is 0 or more"):
        Weights(cost=-0.1)


def test_where_nobody_pays_for_documents_no_needed_documents_are_asked_for():
    assert REWARD.needs == {"answers", "documents"}
    assert Verifiable(SCALE, weights=Weights(documents=0.0, stop=0.0)).needs == {"answers"}


# R1-Router


def test_the_teachers_own_steps_are_paid_in_full():
    run = run_of(GOOD)
    scores = list(R1Router(Teacher.of_runs([run])).score(run, GOLD))
    assert [score.total for score in scores] == pytest.approx([1.0, 1.0, 1.0])


def test_half_is_paid_for_the_source_and_half_for_the_query():
    teacher = Teacher({(QUESTION, 1): Taught("director Bo Chen", "kb:people")})
    same_query, same_source = RouteToKB("films", "Chen, Bo: director?"), RouteToKB("people", "rain")
    both = [RouteToKB("people", "director Bo Chen"), RouteToKB("films", "director Bo Chen")]
    totals = [
        R1Router(teacher).of_step(run_of(does(one, RIGHT)), 1, GOLD).total for one in (same_query, same_source, both)
    ]
    assert totals == pytest.approx([0.5, 0.5, 0.5])  # to ask two sources is no match with one


def test_to_stop_where_the_teacher_stopped_is_a_match():
    teacher = Teacher({(QUESTION, 1): Taught(NOBODY, NOBODY)})
    stop = run_of(does(Note("Enough is known.", enough=True), RIGHT))
    assert R1Router(teacher).of_step(stop, 1, GOLD).total == 1.0
    assert R1Router(teacher).of_step(run_of(GOOD), 1, GOLD).total == 0.0
    assert R1Router(teacher).of_step(run_of(GOOD), 2, GOLD) is None


def test_an_embedding_of_langchains_is_asked_once_for_each_text():
    asked = []

    class Letters:
        def embed_documents(self, texts):
            asked.extend(texts)
            return [[text.count(letter) for letter in "abc"] for text in texts]

    alike = by_embedding(Letters())
    assert alike("aab", "aab") == pytest.approx(1.0)
    assert alike("a", "b") == 0.0 and alike("a", "aa") == pytest.approx(1.0)
    assert sorted(asked) == ["a", "aa", "aab", "b"]
    with pytest.raises(ConfigError, match="Give the similarity a name"):
        R1Router(Teacher({}), similarity=alike)


@pytest.mark.parametrize(("one", "other", "expected"), [("", "", 1.0), ("a film", "", 0.0), ("films!", "Film", 1.0)])
def test_words_are_compared_by_their_stems(one, other, expected):
    assert by_words(one, other) == pytest.approx(expected)


def test_answers_are_scored_by_recall_as_in_the_paper():
    assert answer_score("It is Bo Chen of course", ["Bo Chen"]) == 1.0
    assert answer_score("Bo", ["Bo Chen"]) == 0.0
    assert answer_score("He came to Oslo", ["He came to Oslo by boat in 1912"]) == pytest.approx(4 / 8)
    assert answer_score("Bo", ["Bo", "Chen"]) == 1.0
    assert recall("nothing", ["Bo Chen"]) == 0.0
    assert recall("Bo Chen Lee", ["Bo Chen of old times", "Lee"]) == 0.4  # both fit with an F1 of 0.5: the first counts


def test_a_teacher_that_was_never_right_is_one_sentence():
    with pytest.raises(DataError, match="No run of the teacher ends with a right answer"):
        Teacher.of_runs([run_of(does(WRONG))])


def test_prices_of_ones_own_reach_the_steps():
    priced = Verifiable(SCALE, pricing=Pricing(step=0.01))
    assert all(one["cost"] == -1.0 for one in parts(run_of(GOOD), priced).values())


def test_an_answer_of_no_words_is_wrong():
    assert parts(run_of(does(Answer("No answer was found; asked was nobody."))))[1]["answer"] == -1.0
