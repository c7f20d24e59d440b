"""The reward of a run pays for the right answer, thrift in proportion, and nothing that a source or a thought says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.actions import Answer, RouteToKB
from router_graph.evaluation.answers import bare
from router_graph.evaluation.gold import Gold
from router_training.errors import ConfigError, DataError
from router_training.rewards.costs import CostNormaliser, Pricing, scales
from router_training.rewards.router_r1 import RouterR1
from support.replies import texts
from support.routed_runs import FILM, GOOD, PERSON, RIGHT, WRONG, does, libraries, run_of

SCALE = CostNormaliser(0.0, 0.1)
"""From nothing to 0.01 USD."""
GOLD = Gold(("Bo Chen",))
costs = st.lists(st.floats(0, 1e3), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def good():
    return run_of(GOOD)


def total(run, reward=None, gold=GOLD):
    (score,) = (reward or RouterR1(SCALE)).score(run, gold)
    return score.total


def test_a_right_run_is_paid_as_far_as_it_was_cheap(good):
    (score,) = RouterR1(SCALE, alpha=0.6).score(good, GOLD)
    cheap = SCALE.cheapness(0.005)
    assert dict(score.parts) == {"format": 0.0, "outcome": 1.0, "cost": cheap, "usd": pytest.approx(0.005)}
    assert score.total == pytest.approx(0.4 + 0.6 * cheap)


def test_the_marks_of_sources_are_no_words_of_the_answer():
    assert bare("Bo Chen [films:harbour], of Oslo [people:bo, people:chen] ") == "Bo Chen, of Oslo"
    assert bare("No answer was found; asked were kb:films.") == ""
    assert bare("x [1] [2:a]") == "x [1]"
    spaced = [{"kb": "films", "doc_id": "The Harbour, 1912"}]
    assert bare("Bo [films:The Harbour, 1912] [films:a; films:b]", spaced) == "Bo"


def test_a_reply_that_is_no_action_makes_the_run_worth_less_than_nothing():
    broken = run_of(["What a fine day.", *GOOD[1:]])
    assert broken.answer and total(broken) == -1.0
    unknown = run_of(does(RouteToKB("atlas", "Oslo"), RIGHT))
    assert total(unknown) == -1.0


@given(said=texts, thought=texts)
def test_nothing_that_a_source_or_a_thought_says_changes_the_reward(good, said, thought):
    steps = []
    for one in good.steps:
        came = {
            place: {**seen, "text": said, "hits": [{**hit, "text": said, "title": said} for hit in seen["hits"]]}
            for place, seen in one.step["observations"].items()
        }
        steps.append(replace(one, step={**one.step, "observations": came, "thought": thought, "reply": thought}))
    assert total(replace(good, steps=tuple(steps))) == total(good)


@given(
    st.lists(st.sampled_from(["Bo", "Chen", "Ann", "Lee", "the", "rain"]), max_size=5).map(" ".join), st.floats(0, 1)
)
def test_the_reward_never_falls_when_the_same_answer_is_had_for_less(said, alpha):
    run = run_of_answer(said)
    dear = replace(run, steps=(*run.steps[:-1], costing(run.steps[-1], 0.004)))
    reward = RouterR1(SCALE, alpha=alpha)
    assert total(run, reward) >= total(dear, reward) >= 0.0


def run_of_answer(said):
    return replace(ANSWERED, answer=said)


def costing(record, usd):
    return replace(record, step={**record.step, "decision": {**record.step["decision"], "usd": usd}})


ANSWERED = run_of(does(Answer("Bo Chen")))


def test_what_the_ledger_books_at_nothing_can_be_priced(good):
    free = sum(Pricing().of_step(good, step) for step in good.steps)
    assert free == pytest.approx(good.usd) == pytest.approx(0.005)
    assert Pricing(step=0.01).of_run(good) == pytest.approx(free + 3 * 0.01)
    call = {"input_tokens": 1000, "output_tokens": 10}
    talking = replace(good, steps=tuple(replace(one, call=call) for one in good.steps))  # type: ignore[arg-type]
    priced = Pricing(policy_input=1.0, policy_output=10.0).of_run(talking)
    assert priced == pytest.approx(free + 3 * (1000 * 1e-6 + 10 * 1e-5))


def test_a_failed_call_costs_what_a_call_costs():
    script = does(FILM, PERSON, RIGHT)
    failing = run_of(script, knowledge=libraries(films=OSError("the disk is gone")))
    assert Pricing().of_run(failing) == pytest.approx(0.005)
    unknown = run_of(does(RouteToKB("atlas", "Oslo"), RIGHT))
    assert Pricing().of_run(unknown) == pytest.approx(0.004)  # the dearest of the menu
    assert Pricing(failed=0.02).of_run(unknown) == pytest.approx(0.02)


@given(costs, st.sampled_from(["sqrt", "none"]), st.floats(0, 2e3), st.floats(0, 2e3))
def test_cheaper_is_never_worth_less_and_the_scale_survives_its_file(tmp_path_factory, fitted, transform, one, other):
    scale = CostNormaliser.fit(fitted, transform=transform)
    low, high = sorted((one, other))
    assert 0.0 <= scale.cheapness(high) <= scale.cheapness(low) <= 1.0
    path = tmp_path_factory.mktemp("scale") / "costs.json"
    scale.save(path)
    assert CostNormaliser.load(path) == scale and CostNormaliser.load(path).fingerprint == scale.fingerprint


def test_the_scale_stays_as_it_was_fitted_whatever_it_is_asked(good):
    runs = [good, ANSWERED, replace(good, status="open")]
    foreign = replace(good, steps=(), menu=(), is_ours=False)  # costs nothing that we know of, and is not scored
    scale = scales([*runs, foreign])["run"]
    assert scale.count == 2 and scale == scales(runs)["run"]
    before = [scale.cheapness(usd) for usd in (0.0, 0.001, 0.005)]
    for usd in (1e6, 0.0, 3.0) * 10:
        scale.cheapness(usd)
    assert [scale.cheapness(usd) for usd in (0.0, 0.001, 0.005)] == before == sorted(before, reverse=True)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: RouterR1(SCALE, alpha=0.8, beta=0.3), "1 at most together"),
        (lambda: RouterR1(SCALE, metric="bleu"), "'em' or 'f1'"),
        (lambda: RouterR1(SCALE, preferred={"kb:a": 2.0}), "from 0 to 1"),
        (lambda: Pricing(step=-1.0), "0 or more"),
        (lambda: CostNormaliser.fit([]), "no cost to fit"),
        (lambda: SCALE.cheapness(float("nan")), "0 or more, and not nan"),
        (lambda: SCALE.cheapness(-1e-9), "0 or more, and not -1e-09"),
        (lambda: CostNormaliser.fit([1.0, float("nan")]), "nan is none"),
        (lambda: CostNormaliser(2.0, 1.0), "up to something higher"),
    ],
)
def test_what_cannot_be_is_one_sentence(wrong, sentence):
    with pytest.raises((ConfigError, DataError), match=sentence):
        wrong()


def test_another_setting_is_another_version(good):
    versions = {
        RouterR1(SCALE).version,
        RouterR1(SCALE, alpha=0.5).version,
        RouterR1(SCALE, metric="em").version,
        RouterR1(SCALE, pricing=Pricing(step=0.1)).version,
        RouterR1(CostNormaliser(0.0, 0.2)).version,
    }
    assert len(versions) == 5 and RouterR1(SCALE).version == RouterR1(CostNormaliser(0.0, 0.1)).version


def test_a_wrong_answer_is_worth_nothing_however_cheap():
    assert total(run_of(does(WRONG))) == 0.0


def test_no_answer_is_never_right_even_where_the_right_one_is_an_article():
    nothing = replace(ANSWERED, answer="No answer was found; nobody was asked.")
    for metric in ("em", "f1"):
        assert total(nothing, RouterR1(SCALE, metric=metric), Gold(("A", "The"))) == 0.0
        assert total(replace(ANSWERED, answer="a"), RouterR1(SCALE, metric=metric), Gold(("A",))) == 1.0


def test_what_a_failed_search_was_booked_at_stands_in_its_observation():
    failing = run_of(does(FILM, RIGHT), knowledge=libraries(films=OSError("the disk is gone")))
    (came,) = failing.steps[0].step["observations"].values()
    assert (came["status"], came["usd"]) == ("failed", 0.004) and failing.usd == pytest.approx(0.004)
