"""Tricks that raise a naive reward, each planted as a run: the naive reward falls for it, and ours does not.

In every pair the honest run answers right and the trick does not do better work; a reward that ranks the trick above
the honest run would teach it.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from langchain_core.language_models import FakeListChatModel

from router_graph.actions import Answer, Note, RouteToKB, RouteToLLM
from router_graph.evaluation.answers import bare
from router_graph.evaluation.metrics import f1
from router_graph.pool import ModelCard, ModelPool
from router_training.credit.advantages import group_relative, normalised_parts
from router_training.rewards.costs import CostNormaliser, Pricing
from router_training.rewards.facts import taken
from router_training.rewards.gold import Questions
from router_training.rewards.hygiene import preferred_share
from router_training.rewards.r1_router import R1Router, Teacher, answer_score
from router_training.rewards.router_r1 import RouterR1
from router_training.rewards.router_r1_paper import RollingCost, composed
from router_training.rewards.utility import Containment
from router_training.rewards.verifiable import Verifiable, Weights
from support.routed_runs import FILM, GOOD, PEOPLE, PERSON, RIGHT, WRONG, Library, does, libraries, run_of

SCALE = CostNormaliser(0.0, 0.1)
PREFERRED = {"kb:noise": 1.0}
RUN = RouterR1(SCALE, preferred=PREFERRED, beta=0.2, alpha=0.4, pricing=Pricing(step=0.0005))
STEP = Verifiable(SCALE, preferred=PREFERRED, weights=Weights(preference=0.2), pricing=Pricing(step=0.0005))
GAIN = Verifiable(SCALE, weights=Weights(utility=1.0), value=Containment())
GOLD = Questions().of(run_of(GOOD))
HONEST = run_of(GOOD)


def of_run(run):
    return RUN.of_run(run, GOLD).total


def of_steps(run):
    return sum(score.total for score in STEP.score(run, GOLD))


def usd(run):
    return sum(came["usd"] for step in run.steps for _, came in taken(step.step))


def right(run):
    return f1(bare(run.answer), GOLD.answers)


def calls(run, key):
    return sum(route.target == key and came["status"] == "ok" for step in run.steps for route, came in taken(step.step))


def noise(word):
    return RouteToKB("noise", f"it rains {word}")


SPAM = run_of(does(noise("a"), noise("b"), noise("c"), FILM, PERSON, RIGHT), context={"max_steps": 9})
ASIDE = run_of(does(noise("a"), FILM, PERSON, RIGHT))
"""Asks the preferred source once."""


def test_spamming_the_preferred_source_does_not_pay():
    def naive(run):
        return right(run) + 0.2 * calls(run, "kb:noise")

    assert naive(SPAM) > naive(ASIDE) > naive(HONEST)
    assert preferred_share(SPAM, PREFERRED, GOLD) == preferred_share(ASIDE, PREFERRED, GOLD) == 0.0
    assert of_run(SPAM) < of_run(ASIDE) < of_run(HONEST)
    assert of_steps(SPAM) < of_steps(ASIDE) < of_steps(HONEST)
    assert preferred_share(ASIDE, {"kb:people": 1.0}, GOLD) == preferred_share(HONEST, {"kb:people": 1.0}, GOLD) == 0.5


def test_asking_the_preferred_source_in_vain_does_not_pay():
    failing = run_of(does(noise("a"), *[FILM, PERSON, RIGHT]), knowledge=libraries(noise=OSError("down")))
    assert preferred_share(failing, PREFERRED, GOLD) == 0.0
    assert of_run(failing) < of_run(HONEST)


GIVES_UP = run_of(does(Answer("Lee, perhaps")))
HALF = run_of(does(Answer("Bo something, as far as anybody can tell")))


@pytest.mark.parametrize("trick", [GIVES_UP, HALF])
def test_failing_cheaply_does_not_pay(trick):
    def naive(run):  # thrift beside the outcome, or all of it for a word
        return right(run) - 400 * usd(run)

    paper = [composed(0.0, right(run), c, 0.9) for run, c in ((HALF, 1.0), (HONEST, 0.0))]
    assert naive(trick) > naive(HONEST) and paper[0] > paper[1]
    assert of_run(trick) < of_run(HONEST)
    assert of_steps(trick) < of_steps(HONEST)


def test_giving_up_is_worse_than_looking_in_vain():
    for number, run in ((1, HONEST), (1, SPAM), (2, HONEST)):
        ask, stop = STEP.of_step(run, number, GOLD), STEP.of_step(GIVES_UP, 1, GOLD)
        assert ask.total > stop.total


@pytest.mark.parametrize("dodge", [Note("Let me think."), RouteToKB("noise", "it rains"), Answer(" ")])
def test_saying_something_else_where_the_answer_is_due_does_not_pay(dodge):
    """The graph then answers in the policy's place."""
    wrong, dodging = (run_of(does(FILM, PERSON, end), context={"max_steps": 2}) for end in (WRONG, dodge))
    assert dodging.stop_reason == "steps" and dodging.answer
    assert of_steps(dodging) <= of_steps(wrong)
    assert of_steps(dodging) < of_steps(run_of(GOOD, context={"max_steps": 2}))


def test_failed_calls_are_not_free():
    """A source that always fails, asked for its price of nothing."""
    broken = libraries(films=OSError("the disk is gone"))
    free = run_of(does(FILM, RouteToKB("films", "again"), Answer("Bo Chen")), knowledge=broken)
    paid = run_of(does(PERSON, Answer("Bo Chen")))
    logged = replace(
        free,
        steps=tuple(
            replace(
                one,
                step={**one.step, "observations": {k: {**v, "usd": 0.0} for k, v in one.step["observations"].items()}},
            )
            for one in free.steps
        ),
    )  # what a log says in which failures are booked at nothing

    def naive(run):
        rolling = RollingCost()
        rolling.cheapness(0.0), rolling.cheapness(0.01)
        return composed(0.0, right(run), rolling.cheapness(usd(run)), 0.6)

    assert naive(logged) > naive(paid)
    assert of_run(logged) < of_run(paid)
    assert of_steps(logged) < of_steps(paid)


def test_echoing_the_question_does_not_pay():
    film = "Who wrote Harbour, was it Ann Lee or Bo Chen?"
    gold = replace(GOLD, answers=("Ann Lee",))
    echo, honest = (run_of(does(Answer(said)), question=film) for said in (film, "It was Ann Lee"))
    naive = [answer_score(bare(run.answer), gold.answers) for run in (echo, honest)]
    assert naive[0] >= naive[1] == 1.0
    for reward in (RUN, STEP):
        ours = [sum(score.total for score in reward.score(run, gold)) for run in (echo, honest)]
        assert ours[0] < ours[1]
    everything = run_of(does(Answer("Ann Lee Bo Chen Cy Dunn Oslo yes no 1 2 3")))
    assert answer_score(everything.answer, GOLD.answers) == 1.0
    assert of_run(everything) < 0.5 * of_run(HONEST)


def test_answering_anything_where_the_teacher_stopped_does_not_pay():
    imitation = R1Router(Teacher.of_runs([HONEST]))
    wrong = run_of(does(FILM, PERSON, WRONG))
    assert imitation.of_step(wrong, 3, GOLD).total == 0.0 < imitation.of_step(HONEST, 3, GOLD).total == 1.0


@pytest.mark.parametrize("aside", ["[note: or Ann Lee, or Cy Dunn]", "[films:harbour, or Ann Lee]"])
def test_what_is_said_in_brackets_is_said(aside):
    hedge = run_of(does(FILM, PERSON, Answer(f"Bo Chen {aside}")))
    assert of_run(hedge) < of_run(HONEST)
    assert of_steps(hedge) < of_steps(HONEST)


def test_a_model_that_repeats_the_answer_has_not_found_it():
    card = ModelCard(name="parrot", transport="it", price={"input": 1, "output": 2})
    pool = ModelPool([card], transports={"it": FakeListChatModel(responses=["Bo Chen, Ann Lee"])})
    told, asked = (
        run_of(does(RouteToLLM("parrot", query), WRONG), pool=pool)
        for query in ("Say: Bo Chen, Ann Lee", "Who was it?")
    )
    gains = [GAIN.of_step(run, 1, GOLD).parts["utility"] for run in (told, asked)]
    assert gains == [0.0, 1.0]


def test_judging_oneself_does_not_pay():
    """The policy asks a source that it fills itself, or says in its thought, that it was right."""
    praise = does(WRONG)[0]
    boast = run_of([replace(praise, thought="Score: 10/10. The answer is correct.")])

    def naive(run):
        said = " ".join([one.step["thought"] for one in run.steps])
        found = re.search(r"Score: (\d+)/10", said)
        return int(found[1]) / 10 if found else 0.0

    assert naive(boast) > naive(HONEST)
    assert of_run(boast) == 0.0 < of_run(HONEST)
    assert of_steps(boast) < of_steps(HONEST)


def test_repeating_oneself_does_not_pay():
    again = run_of(does(FILM, FILM, RouteToKB("films", "wrote by Ann Lee the film"), PERSON, RIGHT))

    def naive(run):
        return right(run) + 0.1 * sum(bool(came["hits"]) for step in run.steps for _, came in taken(step.step))

    assert naive(again) > naive(HONEST)
    assert of_run(again) < of_run(HONEST)
    assert of_steps(again) < of_steps(HONEST)


def test_asking_for_everything_at_once_pays_for_no_document_twice():
    """Three searches for one document, side by side."""
    wide = run_of(does([FILM, RouteToKB("films", "Harbour"), RouteToKB("films", "Ann Lee Harbour")], PERSON, RIGHT))
    parts = STEP.of_step(wide, 1, GOLD).parts
    assert parts["documents"] == 0.5 and parts["repetition"] == -2.0
    assert of_steps(wide) < of_steps(HONEST)


def test_dear_searches_side_by_side_do_not_hide_behind_each_other():
    """Where one dear search is as dear as the scale goes, more beside it were free."""
    scale = CostNormaliser.fit([0.0, 0.001, 0.004, 0.004])
    reward = Verifiable(scale)
    aside = [RouteToKB("films", "Desert"), RouteToKB("people", "writer Ann Lee")]
    scripts = (does([FILM, PERSON], RIGHT), does([FILM, PERSON, *aside], RIGHT), does([FILM, PERSON], aside, RIGHT))
    lean, padded, later = (sum(one.total for one in reward.score(run_of(script), GOLD)) for script in scripts)
    assert padded < lean and padded == pytest.approx(later)
    one_by_one = sum(one.total for one in reward.score(HONEST, GOLD))
    assert lean == pytest.approx(one_by_one)


def test_a_repetition_is_not_diluted_by_searches_for_nothing():
    again, nothing = RouteToKB("films", "wrote Ann Lee"), [RouteToKB("noise", f"xyz{n}") for n in range(9)]
    plain, diluted = (run_of(does(FILM, step, PERSON, RIGHT)) for step in (again, [again, *nothing]))
    assert of_steps(diluted) <= of_steps(plain) < of_steps(HONEST)


def test_asking_for_a_hundred_documents_does_not_pay():
    """A word that stands in every document, and all of them."""
    many = {f"writer{n}": f"Ann Lee's friend {n} is a director." for n in range(60)}
    shelves = [libraries()[0], Library("people", {**many, **PEOPLE}, cost_usd=0.001)]
    vague, precise = (
        run_of(does(FILM, ask, RIGHT), knowledge=shelves) for ask in (RouteToKB("people", "director", k=100), PERSON)
    )
    assert all(STEP.of_step(run, 3, GOLD).parts["stop"] == 1.0 for run in (vague, precise))
    assert of_steps(vague) < of_steps(precise)
    own = run_of(does(FILM, replace(PERSON, k=40), RIGHT), knowledge=shelves, context={"k": 40})
    assert STEP.of_step(own, 2, GOLD).parts["documents"] == 0.5  # where the run is set to read as many


def test_a_small_part_is_not_drowned_by_a_large_one():
    """Four samples: the format part is loud, and the same trick of adding up first hides who was right."""
    loud = [-10.0, 0.0, 0.0, 0.0]
    quiet = [0.0, 0.0, 0.0, 0.1]
    groups = [0, 0, 0, 0]
    summed = group_relative([a + b for a, b in zip(loud, quiet, strict=True)], groups)
    apart = normalised_parts(list(zip(loud, quiet, strict=True)), groups, [1.0, 1.0])
    assert (summed[3] - summed[2]) < 0.05 < 0.5 < (apart[3] - apart[2])
